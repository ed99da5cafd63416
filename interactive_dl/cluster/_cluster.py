"""A cluster: controller and engines, started together, that outlive the notebook."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from interactive_dl.cluster import _beside, _elsewhere, _processes, _starting, _status
from interactive_dl.cluster._allocation import Allocation, kind
from interactive_dl.cluster._background import BackgroundLoop
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places, ipython_folder, known_ids
from interactive_dl.cluster._values import Death, Engine, State, Summary
from interactive_dl.cluster.environment import Binding
from interactive_dl.errors import (
    ClusterNotFoundError,
    ClusterNotRunningError,
    RequestError,
    SchedulerError,
)
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.beside import Started
from interactive_dl.telemetry.commands import COLLECTIVES, Collectives
from interactive_dl.telemetry.journal import runs_folder
from interactive_dl.telemetry.run import Runs

if TYPE_CHECKING:
    import ipyparallel

    from interactive_dl.cluster._client import Client
    from interactive_dl.cluster._doctor import Report

_LOG = logging.getLogger("interactive_dl.cluster")
_STOP_GRACE_S = 3.0
_EXIT_RECORD_S = 0.25


class Cluster:
    """Engines of one world behind an ipyparallel controller.

    The cluster outlives the process that started it: ``Cluster.attach(id)`` reaches it from
    another one. In a notebook ``%%px`` runs on all engines right after ``start()``.

    Args:
        where: ``local``; or ``slurm``, for nodes of a computing centre; or ``ssh``, for hosts that
            ssh reaches; or a number, for as many engines on this machine.
        engines: how many on this machine (default: 4); elsewhere the options of the request tell.
        cluster_id: letters, digits, ``.``, ``_``, ``-``; by default a new one.
        threads_per_engine: compute threads of each; by default the cores divided among them.
        binding: ``auto`` gives each engine cores of its own where there are enough.
        oversubscribe: whether there may be more engines than cores.
        start_timeout_s: how long the engines may take to register.
        collectives: what connects the engines: ``mpi``, the fastest; or ``gloo``, with which a
            training also survives the loss of one of several hosts.
        environment: further variables for the engines, such as ``KERAS_BACKEND``.
        runs: folder of the runs' journals, which outlive the cluster; by default ``$IDL_RUNS`` or
            ``runs`` in the current folder.
        request: what to ask Slurm for, over the profiles of site and user (``idl profile``):
            nodes, engines_per_node, cpus_per_engine, gpus_per_engine, mem_gb, walltime_min,
            warn_min, launcher, restart, partition, account, qos, constraint, reservation, setup,
            extra_directives, omit_directives, interface; ``cluster.slurm.request.Request`` says
            what they mean. Or of hosts: hosts, engines_per_host, restart, setup, interface,
            ssh_options; ``cluster.ssh.request.Request``.

    Raises:
        RequestError: an unknown place or option, or a value that makes no sense.

    Every method that takes time has an async twin: ``await cluster.start_async()``.
    """

    def __init__(
        self,
        where: str | int = "local",
        *,
        engines: int | None = None,
        cluster_id: str | None = None,
        threads_per_engine: int | None = None,
        binding: Binding = "auto",
        oversubscribe: bool = True,
        start_timeout_s: float = 60.0,
        collectives: Collectives = "mpi",
        environment: Mapping[str, str] | None = None,
        runs: str | os.PathLike[str] | None = None,
        **request: Any,
    ) -> None:
        _check_collectives(collectives)
        place, engines = ("local", where) if isinstance(where, int) else (where, engines)
        allocation = kind(place)
        count, complete = allocation.complete(engines, request)
        self._options = Options(
            engines=count,
            threads_per_engine=threads_per_engine,
            binding=binding,
            oversubscribe=oversubscribe,
            start_timeout_s=start_timeout_s,
            environment=dict(environment or {}),
            runs=str(Path(runs or runs_folder()).absolute()),
            where=place,
            collectives=collectives,
            request=complete,
        )
        self._places = Places(cluster_id or f"idl-{secrets.token_hex(3)}", ipython_folder())
        self._allocation = allocation(self._places, self._options)
        self._background = BackgroundLoop(f"cluster {self._places.cluster_id}")
        self._launched: ipyparallel.Cluster | None = None
        self._client: Client | None = None
        self._starting: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._follow_on: Allocation | None = None
        self._is_unwanted = False
        self._runs: Runs | None = None
        self._ever_registered: set[int] = set()

    # -- reaching clusters ---------------------------------------------------------------------

    @classmethod
    def attach(cls, cluster_id: str) -> Self:
        """Reach a running cluster, from any process of this user on this machine, or on another one
        that has the same files and reaches its address.

        A cluster whose controller has ended can be stopped and restarted only.

        Raises:
            ClusterNotFoundError: no running cluster has this id.
            ClusterElsewhereError: it was started on another host, and does not answer here.
        """
        cluster = cls._described(cluster_id)
        if cluster._has_controller():
            cluster._background.run(cluster._connect())
            cluster._activate()
        return cluster

    @classmethod
    async def attach_async(cls, cluster_id: str) -> Self:
        """``attach`` without blocking the caller's loop."""
        cluster = cls._described(cluster_id)
        if cluster._has_controller():
            await cluster._background.run_async(cluster._connect())
            cluster._activate()
        return cluster

    @classmethod
    def list(cls) -> tuple[Summary, ...]:
        """All clusters of this user on this machine, and on others that have the same files."""
        places = [Places(known, ipython_folder()) for known in known_ids(ipython_folder())]
        marks = _processes.marks()
        told = (_status.summary(place, str(place.folder) in marks) for place in places)
        return tuple(one for one in told if one is not None)

    @classmethod
    def _described(cls, cluster_id: str) -> Self:
        places = Places(cluster_id, ipython_folder())
        if _elsewhere.is_elsewhere(places):
            _elsewhere.check_reached(places)
        elif not _processes.marked(places.folder) or not places.description.exists():
            running = [one.id for one in cls.list() if one.state != "failed"]
            raise ClusterNotFoundError(
                f"There is no running cluster {cluster_id!r}; running are"
                f" {', '.join(running) or 'none'}. Type:"
                f" idl.Cluster(engines=4, cluster_id={cluster_id!r}).start()"
            )
        return cls.recorded(cluster_id)

    @classmethod
    def recorded(cls, cluster_id: str) -> Self:
        """A cluster that was started, not reached: whether it lives or not, it can be stopped.

        Raises:
            ClusterNotFoundError: none has this id.
        """
        places = Places(cluster_id, ipython_folder())
        try:
            options = dict(vars(Description.read(places.description).options))
        except FileNotFoundError as error:
            known = ", ".join(known_ids(ipython_folder())) or "none"
            raise ClusterNotFoundError(
                f"There is no cluster {cluster_id!r}; there are {known}. Type: idl cluster list"
            ) from error
        request = options.pop("request")
        if request:
            options.pop("engines")
        return cls(cluster_id=cluster_id, **options, **request)

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start controller and engines, check the world, and make ``%%px`` run on them.

        With a scheduler this waits for nodes as long as it takes; an interrupt cancels.

        Raises:
            SetupError: no mpiexec, or two MPIs.
            AllocationError: the scheduler refused, the job can never start, or it ended.
            SchedulerError: the scheduler does not answer.
            ClusterError: a running cluster has this id; too few slots; engines that do not
                register; a world of the wrong size. What was started has been stopped again.
        """
        self._background.run(self._start())
        self._activate()
        return self

    async def start_async(self) -> Self:
        """``start`` without blocking the caller's loop."""
        await self._background.run_async(self._start())
        self._activate()
        return self

    def stop(self) -> None:
        """End every process of the cluster and remove its files, whatever state it is in.

        Raises:
            SchedulerError: Slurm does not answer.
            ClusterElsewhereError: it was started on another host, and does not answer here; its job
                was cancelled.
        """
        self._background.run(self._stop())
        self._background.stop()

    async def stop_async(self) -> None:
        """``stop`` without blocking the caller's loop."""
        await self._background.run_async(self._stop())
        self._background.stop()

    def restart(self) -> Self:
        """Stop, and start again with fresh engines under the same id."""
        self.stop()
        return self.start()

    async def restart_async(self) -> Self:
        """``restart`` without blocking the caller's loop."""
        await self.stop_async()
        return await self.start_async()

    def renew(self, **changes: Any) -> Self:
        """Ask Slurm for a follow-on allocation, and let go on there what runs here.

        Controller and recorder stay, engines are new and have new ids. This waits for nodes as long
        as it takes; an interrupt gives it up, and all is as before. If the old job still runs then,
        its trainings write a checkpoint and stop, its searches let go of their engines, and it
        ends. Runs that had not come to their end go on from their checkpoints: the cells that their
        engines had run are run again. For what had no ``engine.callbacks(..., checkpoint=...)`` the
        log says which cell is to be run again. Searches go on by themselves.

        Args:
            changes: options of the request that are to be others: ``walltime_min=240``.

        Raises:
            RequestError: an unknown option, or engines on this machine; or a follow-on is waited
                for already.
            AllocationError: Slurm refuses, or the job can never start, or has ended.
            SchedulerError: Slurm does not answer.
            ClusterError: engines that do not register; a world of the wrong size.
        """
        self._background.run(self._renew(changes))
        return self

    async def renew_async(self, **changes: Any) -> Self:
        """``renew`` without blocking the caller's loop."""
        await self._background.run_async(self._renew(changes))
        return self

    def heal(
        self, *, timeout_s: float = 10.0, wait_for_busy: bool = True, sponsor: int | None = None
    ) -> Self:
        """Replace dead engines; the living ones keep everything they have in memory.

        Groups end with the old world: the next cell calls ``engine.init()`` again. New engines
        get new ids, and know nothing of what the cells before defined.

        Args:
            timeout_s: how long to wait for engines that are busy.
            wait_for_busy: False starts the new engines through one that is free. Nothing that runs
                is disturbed, groups included; those formed later may have new engines in them.
            sponsor: id of that free one; None for any.

        Raises:
            HealError: an engine is busy or died meanwhile, or none lives; with
                ``wait_for_busy=False``: none is free.
        """
        self._background.run(self._heal(timeout_s, wait_for_busy, sponsor))
        return self

    async def heal_async(
        self, *, timeout_s: float = 10.0, wait_for_busy: bool = True, sponsor: int | None = None
    ) -> Self:
        """``heal`` without blocking the caller's loop."""
        await self._background.run_async(self._heal(timeout_s, wait_for_busy, sponsor))
        return self

    def doctor(self) -> Report:
        """Look at the machines that its engines would be on; nothing of the cluster is started.

        With a scheduler a short job with the cluster's own request looks at its nodes, hosts that
        ssh reaches are asked themselves: whether they reach this host and see its folder, their
        clocks, versions and MPI, a world of ranks over all of them, and how fast they reach each
        other.

        Raises:
            AllocationRefusedError: the scheduler does not take such a job.
            SchedulerError: it does not answer.
            SetupError: there is no ssh.
        """
        return self._background.run(self._allocation.examine())

    async def doctor_async(self) -> Report:
        """``doctor`` without blocking the caller's loop."""
        return await self._background.run_async(self._allocation.examine())

    def close(self) -> None:
        """Let go of the cluster; it goes on without this process."""
        self._disconnect()
        self._background.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.start_async()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_async()

    # -- what it says about itself ---------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id to ``attach`` with."""
        return self._places.cluster_id

    @property
    def folder(self) -> Path:
        """Where the cluster keeps connection files and logs while it lives."""
        return self._places.folder

    @property
    def started_s(self) -> float:
        """When it was started, in seconds since the epoch.

        Raises:
            FileNotFoundError: it is not running.
        """
        return Description.read(self._places.description).started_at_s

    @property
    def size(self) -> int:
        """How many engines it is meant to have; fewer after its allocation has lost nodes."""
        is_started = self._places.description.exists()
        return _status.size(self._places) if is_started else self._options.engines

    @property
    def runs_folder(self) -> Path:
        """Where the journals of its runs and searches lie."""
        return Path(self._options.runs)

    def start_beside(self, words: Sequence[str], log: str) -> Started:
        """Start a Python program that belongs to the cluster, beside its recorder.

        It outlives this process, and ends with the cluster.

        Args:
            words: ``-m``, a module, and its arguments.
            log: file name in the cluster's folder; appended to.

        Raises:
            ClusterElsewhereError: the cluster was started on another host, and does not answer.
        """
        return _beside.start(self._places, self._options, words, log)

    def job_script(self) -> str:
        """The script that ``start()`` hands to Slurm.

        Raises:
            RequestError: the engines run on this machine; or a directive cannot be omitted.
        """
        return self._allocation.job_script()

    @property
    def client(self) -> Client:
        """The connected ipyparallel client: ``cluster.client[:]`` is a view of all engines.

        Raises:
            ClusterNotRunningError: the cluster was not started, or was stopped.
        """
        if self._client is None:
            raise ClusterNotRunningError(
                f"Cluster {self.id!r} is not running here. Type: cluster.start(), or"
                f" idl.Cluster.attach({self.id!r}) where another process started it."
            )
        return self._client

    @property
    def runs(self) -> Runs:
        """This cluster's runs, and earlier ones in the same folder: ``cluster.runs["rpv"]``."""
        if self._runs is None:
            self._runs = Runs(self._options.runs, cluster=self._places.folder)
        return self._runs

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines of the current world, by rank, the dead of that world included."""
        return () if self._client is None else _status.engines(self._places, self._registered)

    @property
    def deaths(self) -> tuple[Death, ...]:
        """Engines that died since ``start()``, in order, and why."""
        return () if self._client is None else _status.deaths(self._places, self._registered)

    @property
    def state(self) -> State:
        """Whether it can work, and if not, why."""
        if self._starting is not None:
            return self._allocation.starting_state(len(self._client.ids) if self._client else 0)
        if self._client is None:
            return self._allocation.outcome or _status.unreached_state(self._places)
        if not self._places.description.exists():
            return State("stopped", "Another process has stopped it.")
        engines = _status.state(self._places, self._registered, self._allocation.after_death)
        now = self._allocation.state(engines)
        if self._follow_on is None:
            return now
        come = len(set(self._follow_on.world()) & set(self.client.ids))
        coming = self._follow_on.starting_state(come)
        return State(now.name, f"{now.reason} Follow-on: {coming}".strip())

    @property
    def _registered(self) -> _status.Registered:
        return _status.Registered(self.client.ids, frozenset(self._ever_registered))

    def __repr__(self) -> str:
        return f"<Cluster {self.id!r}: {len(self.engines)} engines, {self.state}>"

    # -- how -------------------------------------------------------------------------------------

    async def _start(self) -> None:
        if self._client is not None:
            return
        _starting.check(self._places, self._allocation)
        self._is_unwanted = False
        self._starting = asyncio.current_task()
        try:
            self._launched = await _starting.launch(self._places, self._options, self._allocation)
            await self._connect()
            await self._allocation.await_granted()
            await self._await_engines()
            _starting.check_world(self._places, self.client, self._options.engines)
        except asyncio.CancelledError:
            await self._end()
            if self._is_unwanted:
                raise ClusterNotRunningError(
                    f"Cluster {self.id!r} was stopped while it started. Type: cluster.start()"
                ) from None
            raise
        except BaseException:
            await self._end()
            raise
        finally:
            self._starting = None

    async def _stop(self) -> None:
        for task in (self._starting, self._renewing):
            if task is not None:
                self._is_unwanted = True
                task.cancel()
                await asyncio.wait([task])
        await self._end()

    async def _await_engines(self) -> None:
        size = self._options.engines
        await _starting.await_engines_of(
            self._allocation,
            self.client,
            self._places,
            lambda: range(size),
            self._options.start_timeout_s,
            size=size,
        )

    async def _renew(self, changes: Mapping[str, Any]) -> None:
        from interactive_dl.cluster import _renewal

        client, folder = self.client, self._places.folder
        if self._renewing is not None:
            raise RequestError(
                f"Cluster {self.id!r} has one follow-on allocation at a time, and another one is"
                " waited for. Interrupt that cell, then: cluster.renew()"
            )
        options = self._allocation.renewed(changes)
        follow_on = kind(options.where)(self._places, options)
        follow_on.check()
        self._renewing, self._follow_on = asyncio.current_task(), follow_on
        try:
            described, engines = await _renewal.open_room(follow_on, client, self._places, options)
            gone = tuple(engine for engine in exits.births(folder) if engine not in engines)
            async with contextlib.AsyncExitStack() as leaving:
                if set(gone) & set(client.ids) and self._allocation.can_leave():
                    cleared = _renewal.cleared(self._places, self.runs_folder, gone)
                    await leaving.enter_async_context(cleared)
                _renewal.give_back(self._places, gone)
        except asyncio.CancelledError:
            await follow_on.end()
            _renewal.note_follow_on(self._places, 0)
            if self._is_unwanted:
                raise ClusterNotRunningError(
                    f"Cluster {self.id!r} was stopped while it was renewed. Type: cluster.start()"
                ) from None
            raise
        except BaseException:
            await follow_on.end()
            _renewal.note_follow_on(self._places, 0)
            raise
        finally:
            self._renewing = self._follow_on = None
        now = Description.read(self._places.description)
        replace(now, options=options, job=described.job, follow_on=0).write(
            self._places.description
        )
        former, self._allocation, self._options = self._allocation, follow_on, options
        former.let_go()
        try:
            await former.end()
        except SchedulerError as error:
            _LOG.warning("%s", error)
        told = await asyncio.to_thread(_renewal.move, client, self._places, engines, gone)
        _LOG.info("%s", told)

    async def _heal(self, timeout_s: float, wait_for_busy: bool, sponsor: int | None) -> None:
        from interactive_dl.cluster import _healing

        if wait_for_busy and sponsor is None:
            await _healing.heal(self.client, self._places, timeout_s=timeout_s)
        else:
            await _healing.replace(self.client, self._places, sponsor=sponsor, timeout_s=timeout_s)

    async def _connect(self) -> None:
        from interactive_dl.cluster._client import Client

        self._client = Client(
            str(self._places.client_connection),
            profile_dir=str(self._places.profile),
            cluster_id=self.id,
            explain_death=self._explain_death,
        )
        self._client._registration_callbacks.append(self._notice)
        self._ever_registered = set(self._client.ids)
        self._allocation.follow()

    def _activate(self) -> None:
        """Make ``%%px`` run on all engines, those of later worlds included."""
        from interactive_dl.cluster import _px

        _px.activate(self.client)

    def _disconnect(self) -> None:
        self._allocation.let_go()
        if self._runs is not None:
            self._runs.close()
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _end(self) -> None:
        self._disconnect()
        if _elsewhere.is_elsewhere(self._places):
            await self._end_elsewhere()
            return
        await self._allocation.end()
        processes = _processes.marked(self._places.folder)
        await asyncio.to_thread(_processes.end, processes, _STOP_GRACE_S)
        # What was starting up during the first look has its mark by now.
        await asyncio.to_thread(_processes.end, _processes.marked(self._places.folder), 0.5)
        if self._launched is not None:
            await self._launched.stop_cluster()
            self._launched = None
        self._places.remove()

    async def _end_elsewhere(self) -> None:
        """Its host ends all of it; where that cannot be asked, at least its job is cancelled."""
        if await asyncio.to_thread(_elsewhere.recorder, self._places) == "answers":
            await asyncio.to_thread(_elsewhere.end, self._places)
            return
        await self._allocation.end()
        if await asyncio.to_thread(_elsewhere.presence, self._places) != "gone":
            _elsewhere.refuse_to_clean(self._places)
        self._places.remove()

    def _has_controller(self) -> bool:
        return _status.has_controller(self._places)

    def _notice(self, event: dict[str, Any]) -> None:
        """Called by the client's thread for every engine that comes or goes."""
        self._ever_registered.add(int(event["id"]))
        if event["event"] == "unregister":
            self._allocation.look_now()
        if event["event"] == "unregister" and self._starting is None:
            self._background.post(self._tell_death(int(event["id"])))

    async def _tell_death(self, engine: int) -> None:
        text = await asyncio.to_thread(self._explain_death, engine)
        ended = exits.exits(self._places.folder).get(engine)
        is_given_back = ended is not None and ended.lost == exits.GIVEN_BACK
        if self._client is not None and not is_given_back:
            _LOG.warning("%s", text)

    def _explain_death(self, engine: int) -> str:
        """Why an engine that has left died; waits a moment for its watcher's word."""
        folder = self._places.folder
        deadline_s = time.monotonic() + _EXIT_RECORD_S
        while engine not in exits.exits(folder) and time.monotonic() < deadline_s:
            time.sleep(0.005)
        return f"{_status.death(self._places, engine)}\n{self._allocation.after_death}"


def _check_collectives(asked: str) -> None:
    if asked not in COLLECTIVES:
        raise RequestError(
            f"Engines are connected by one of {', '.join(COLLECTIVES)}, but got"
            f' collectives={asked!r}. Type: idl.Cluster(4, collectives="gloo")'
        )
