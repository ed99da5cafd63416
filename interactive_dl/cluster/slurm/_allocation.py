"""A Slurm job as the place where a cluster's engines run."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl.cluster import _processes
from interactive_dl.cluster._allocation import SURVIVED
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import State
from interactive_dl.cluster._variables import environment_of, ipyparallel_variables
from interactive_dl.cluster.environment import mpi_environment
from interactive_dl.cluster.slurm import (
    commands,
    fitness,
    jobs,
    launchers,
    profile,
    script,
    worlds,
)
from interactive_dl.cluster.slurm.launchers import WITHOUT_MPI, Launcher, Ranks
from interactive_dl.cluster.slurm.request import Request, request_of
from interactive_dl.cluster.slurm.silence import Silence
from interactive_dl.cluster.slurm.steward import launch_agent, steward_command
from interactive_dl.cluster.slurm.watching import WATCH, look_once
from interactive_dl.cluster.slurm.worlds import World
from interactive_dl.errors import AllocationError, RequestError, SchedulerError
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import (
    COLLECTIVES_VARIABLE,
    ENDS_ALL,
    OUTLIVES_SIGTERM,
    engine_command,
)

if TYPE_CHECKING:
    import ipyparallel

    from interactive_dl.cluster._doctor import Report

_LOG = logging.getLogger("interactive_dl.cluster")
_POLL_S = 0.05
_LOOK_S = 0.2
_POLITE_S = 3.0
_END_S = 30.0
_SHOWN_LINES = 8
_IN_SCRATCH = ("OMPI_MCA_btl_sm_backing_directory", "PRTE_MCA_prte_tmpdir_base")
_RESTART = "Type: cluster.restart()"
_RENEW = "Type: cluster.renew() to go on from the last checkpoints, or cluster.restart()"
_NOBODY_WAITS = (
    "Job %s was asked for to go on in. Where no notebook waits for it any more, type: scancel and"
    " its number, then cluster.renew()"
)
_ONE_FOLLOW_ON = (
    "A cluster has one follow-on allocation at a time, and job {job} was asked for already."
    " Interrupt the cell that waits for it; where there is none any more, type: scancel {job}."
    " Then: cluster.renew()"
)
_ALL_END = "The others end with it, because {why}."
_ALL_BEGIN = "They start again by themselves; what has a checkpoint goes on from there."


class SlurmAllocation:
    """One job, in which a launcher starts one world.

    Controller and recorder run where the cluster is started, such as the login node. The folders
    of the cluster and of IPython must be on a file system that this host and the nodes share.
    """

    def __init__(self, places: Places, options: Options) -> None:
        self._places = places
        self._options = options
        self._request = request_of(options.request)
        self._job = 0
        self._is_follow_on = False
        self.outcome: State | None = None
        self.after_death = self._after_death()

    def _after_death(self) -> str:
        launcher = self._launcher
        if launcher.survives(self._request.nodes):
            return SURVIVED
        ended = _ALL_END.format(why=launcher.all_end)
        return f"{ended} {_ALL_BEGIN if self._request.restart else _RESTART}"

    @classmethod
    def complete(
        cls, engines: int | None, request: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if engines is not None:
            raise RequestError(
                "Slurm is asked for nodes and for engines on each, but got"
                f" engines={engines}. Type: idl.Cluster('slurm', nodes={engines},"
                " engines_per_node=1)"
            )
        asked = request_of(profile.merged(profile.layers(profile.files(), request)))
        return asked.engines, asdict(asked)

    @functools.cached_property
    def address(self) -> str:
        return commands.listen_address(self._request.interface)

    def job_script(self) -> str:
        return self._script(())

    def _script(self, more_directives: Sequence[str]) -> str:
        request, options = self._request, self._options
        request = replace(request, extra_directives=(*request.extra_directives, *more_directives))
        return script.job_script(
            request,
            name=self._places.cluster_id,
            log=self._log,
            prefix=Path(sys.prefix),
            scratch=self._places.volatile,
            in_scratch=_IN_SCRATCH,
            environment=_engine_environment(self._places, options, request, self._launcher),
            command=self._command(),
        )

    def _command(self) -> Sequence[str]:
        """What the job runs on its first node."""
        return steward_command(
            self._places.folder,
            self._request.engines_per_node,
            self._launcher,
            [*self._launcher.command(self._ranks), *engine_command(self._places.folder)],
            warn_s=self._request.warn_s,
            restart=self._request.restart and self._has_mpi,
        )

    async def examine(self) -> Report:
        from interactive_dl.cluster.slurm.preflight import examine

        return await examine(self._places.ipython_folder, self._options)

    def check(self) -> None:
        self.outcome = None
        self.job_script()
        if self._has_mpi:
            path = environment_of(self._places, self._options)["PATH"]
            fitness.check(self._launcher, path)
        _LOG.debug("Controller and recorder listen on %s.", self.address)

    async def start_engines(
        self, launched: ipyparallel.Cluster | None, described: Description
    ) -> Description:
        self._is_follow_on = described.job != 0
        file = self._places.folder / "job.sh"
        file.write_text(self._script(_avoided(described.job)))
        submitting = asyncio.create_task(asyncio.to_thread(commands.submit, file))
        try:
            self._job = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # The job must be known to be cancelled.
            self._job = await submitting
            raise
        except AllocationError as error:
            self.outcome = State("refused", str(error))
            raise
        WATCH.add(self._job)
        return replace(described, job=self._job)

    async def await_granted(self) -> None:
        told = State("submitting")
        while True:
            job = WATCH.job(self._job)
            if job is not None and job.is_granted:
                return
            now = self.starting_state(0)
            if (job is not None and job.is_over) or now.name == "impossible":
                self.outcome = now
                raise AllocationError(f"{now.reason} What was asked for: cluster.job_script()")
            if now != told:
                _LOG.info("%s", now)
                told = now
            await asyncio.sleep(_POLL_S)

    def follow(self) -> None:
        if not self._job:
            described = Description.read(self._places.description)
            self._job = described.job
            if described.follow_on:
                _LOG.warning(_NOBODY_WAITS, described.follow_on)
        WATCH.add(self._job)

    def look_now(self) -> None:
        WATCH.hurry()

    def let_go(self) -> None:
        WATCH.remove(self._job)

    def is_over(self) -> bool:
        job = WATCH.job(self._job)
        if job is None or not job.is_over:
            return False
        self.outcome = self._ended(job)
        return True

    def starting_state(self, registered: int) -> State:
        if not self._job:
            return State("submitting", "The controller starts, then the job is handed to Slurm.")
        job = WATCH.job(self._job)
        if WATCH.silence:
            return State("unknown", f"Job {self._job}: {WATCH.silence}")
        if job is None:
            return State("submitting", f"Slurm has taken job {self._job}.")
        if job.is_over:
            return self._ended(job)
        if not job.is_granted:
            return jobs.waiting_state(job)
        started = f"{registered} of {self._request.engines} engines have registered."
        return State("starting", f"{started} {jobs.granted_words(job)}")

    def state(self, engines: State) -> State:
        self._move_with_the_cluster()
        job = look_once(self._job)
        if job is not None and job.is_over:
            return self._ended(job)
        if job is not None and (headless := self._headless_words(job)):
            return State("degraded", headless)
        world = World.read(self._places.folder, self._job)
        if world is not None and world.stage in ("restarting", "over"):
            return State("degraded" if world.stage == "restarting" else "failed", world.reason)
        if WATCH.silence:
            return State(engines.name, f"{engines.reason} {WATCH.silence}".strip())
        if job is not None and engines.name == "ready":
            said = jobs.granted_words(job)
            return State("ready", f"{said} {world.reason if world else ''}".strip())
        return engines

    def can_leave(self) -> bool:
        job = WATCH.job(self._job)
        if job is None:
            return True
        # Without the first node MPI's others wait for it.
        return not job.is_over and not (self._has_mpi and self._headless_words(job))

    def _headless_words(self, job: jobs.Job) -> str:
        return jobs.headless_words(job, is_warned=not self._has_mpi)

    def _move_with_the_cluster(self) -> None:
        """Another process may have renewed the allocation."""
        now = Description.read(self._places.description).job
        if now not in (0, self._job):
            WATCH.remove(self._job)
            self._job = now
            WATCH.add(now)

    def world(self) -> tuple[int, ...]:
        told = World.read(self._places.folder, self._job)
        return () if told is None else told.ids

    def renewed(self, changes: Mapping[str, Any]) -> Options:
        waited = Description.read(self._places.description).follow_on
        if waited and ((job := look_once(waited)) is None or not job.is_over):
            raise RequestError(_ONE_FOLLOW_ON.format(job=waited))
        request = request_of({**asdict(self._request), **changes})
        return replace(self._options, engines=request.engines, request=asdict(request))

    async def end(self) -> None:
        numbers = {self._job}
        with contextlib.suppress(FileNotFoundError):
            described = Description.read(self._places.description)
            if not self._is_follow_on or described.job == self._job:
                numbers = {self._job or described.job, described.follow_on}
        for job in sorted(numbers - {0}):
            if self._places.folder.exists():
                worlds.end(self._places.folder, job)
            await asyncio.to_thread(_cancel, job)
        self._job = 0

    @property
    def _has_mpi(self) -> bool:
        return self._options.collectives == "mpi"

    @property
    def _launcher(self) -> Launcher:
        """What starts the engines."""
        return launchers.launcher(self._request.launcher) if self._has_mpi else WITHOUT_MPI

    @property
    def _ranks(self) -> Ranks:
        request = self._request
        return Ranks(
            nodes=request.nodes,
            per_node=request.engines_per_node,
            cpus=request.cpus_per_engine,
            bind=self._options.binding == "core",
        )

    @property
    def _log(self) -> Path:
        return self._places.engines_log

    def _ended(self, job: jobs.Job) -> State:
        ended = jobs.ended_state(job)
        if ended.name != "failed":
            return State(ended.name, f"{ended.reason} {_RENEW}")
        folder = self._places.folder
        gone = exits.exits(folder).values()
        if gone:
            first = min(gone, key=lambda one: one.ended_at_s)
            cause = f" Engine {first.engine} on {first.host} was the first to end: {first.reason}."
            log = exits.log_file(folder, first.engine)
        else:
            cause, log = "", self._log
        lines = "".join(f"\n    {line}" for line in exits.last_lines(log, _SHOWN_LINES))
        if fitness.is_unloadable(lines):
            cause = f"{cause} {fitness.advice(self._launcher)}"
        shown = f" The end of its log:{lines}" if lines else ""
        return State("failed", f"{ended.reason}{cause} {_RENEW}.{shown}")


def _engine_environment(
    places: Places, options: Options, request: Request, launcher: Launcher
) -> dict[str, str]:
    """Variables of the engines, over those that the job has."""
    threads = options.threads_per_engine or request.cpus_per_engine
    cores = request.engines_per_node * request.cpus_per_engine
    ours = mpi_environment(request.engines_per_node, threads, cores)
    del ours["PATH"]  # the job has its own
    ours |= {
        _processes.MARK: str(places.folder),
        COLLECTIVES_VARIABLE: options.collectives,
        **ipyparallel_variables(places),
        "PRTE_MCA_prte_launch_agent": launch_agent(),
        OUTLIVES_SIGTERM: "1",
    }
    if launcher.mpi and not launcher.survives(nodes=1):
        ours[ENDS_ALL] = "1"
    if request.interface is not None:
        ours |= {
            "OMPI_MCA_btl_tcp_if_include": request.interface,
            "PRTE_MCA_prte_if_include": request.interface,
            "HOROVOD_GLOO_IFACE": request.interface,
            "NCCL_SOCKET_IFNAME": request.interface,
        }
    return ours | options.environment


def _cancel(job: int) -> None:
    """End a job and wait until its processes are gone; after some grace, kill them.

    Raises:
        SchedulerError: Slurm does not answer, or does not end it.
    """
    commands.cancel(job)
    began_s = time.monotonic()
    is_killed = False
    while not _is_gone(job):
        waited_s = time.monotonic() - began_s
        if is_killed and _is_out_of_reach(job):
            return
        if waited_s > _END_S:
            raise SchedulerError(
                f"Job {job} was cancelled, but has not ended within {_END_S:g} s. Type: scontrol"
                f" show job {job}; then cluster.stop() again."
            )
        if waited_s > _POLITE_S and not is_killed:
            commands.cancel(job, kill=True)
            is_killed = True
        time.sleep(_LOOK_S)


def _avoided(former: int) -> list[str]:
    """Directives that keep a follow-on off the node from which the job before was looked after,
    where that is lost: Slurm may not have noticed yet.
    """
    job = WATCH.job(former)
    return [] if job is None or not jobs.headless_words(job) else [f"--exclude={job.first}"]


def _is_out_of_reach(job: int) -> bool:
    """Whether it has ended but for nodes that do not answer: Slurm ends it there once they do."""
    found = commands.listing([job]).get(job)
    if found is None or found.state != "COMPLETING":
        return False
    silence = Silence(commands.slurmd_places(commands.node_names(found.nodes)))
    silence.look()
    return bool(silence.places) and all(silence.look().values())


def _is_gone(job: int) -> bool:
    found = commands.listing([job]).get(job)
    return found is None or found.is_over
