"""Hosts that ssh reaches as the place where a cluster's engines run."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from interactive_dl.cluster import _elsewhere, _preflight, _processes
from interactive_dl.cluster._allocation import SURVIVED
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import State
from interactive_dl.cluster._variables import environment_of, ipyparallel_variables
from interactive_dl.cluster.environment import mpi_environment, mpiexec_arguments
from interactive_dl.cluster.examination._sight import Sight
from interactive_dl.cluster.slurm import commands, profile, worlds
from interactive_dl.cluster.slurm.worlds import World
from interactive_dl.cluster.ssh._connection import address_towards, ssh_words
from interactive_dl.cluster.ssh._looking import look_at
from interactive_dl.cluster.ssh._script import ON_HOST, host_script
from interactive_dl.cluster.ssh.each import each_command
from interactive_dl.cluster.ssh.request import request_of
from interactive_dl.cluster.ssh.steward import script_of, steward_command
from interactive_dl.errors import AllocationError, RequestError, UnfitHostsError
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import COLLECTIVES_VARIABLE, engine_command

if TYPE_CHECKING:
    import ipyparallel

    from interactive_dl.cluster._doctor import Report

_POLL_S = 0.05
_END_S = 15.0
_SHOWN_LINES = 8
_JOB = 0
_RESTART = "Type: cluster.restart()"
_ALL_END = "The others end with it, because they are on several hosts."
_ALL_BEGIN = f"{_ALL_END} They start again by themselves; what has a checkpoint goes on from there."


class SSHAllocation:
    """Hosts that are always there: a steward beside the controller starts one world on them.

    The folders of the cluster, of IPython and of the notebook, and the Python environment, must be
    on file systems that this host and the others share.
    """

    def __init__(self, places: Places, options: Options) -> None:
        self._places = places
        self._options = options
        self._request = request_of(options.request)
        self._facts: Mapping[str, Sight] = {}
        self._steward: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self.outcome: State | None = None
        ended = _ALL_BEGIN if self._request.restart else f"{_ALL_END} {_RESTART}"
        self.after_death = SURVIVED if self._survives else ended

    @classmethod
    def complete(
        cls, engines: int | None, request: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if engines is not None:
            raise RequestError(
                f"Hosts are named, with the engines on each, but got engines={engines}. Type:"
                " idl.Cluster('ssh', hosts=['n1', 'n2'], engines_per_host=2)"
            )
        asked = request_of(profile.merged(profile.layers(profile.files(), request, "ssh")))
        return asked.engines, asdict(asked)

    @functools.cached_property
    def address(self) -> str:
        if self._request.interface is not None:
            return commands.listen_address(self._request.interface)
        return address_towards(tuple(self._request.slots), self._request.ssh_options)

    def job_script(self) -> str:
        raise RequestError(
            "Hosts that ssh reaches need no job script. Type: cluster.doctor(), to look at them"
        )

    async def examine(self) -> Report:
        from interactive_dl.cluster.ssh._examination import examine

        return await examine(self._places.ipython_folder, self._options)

    def check(self) -> None:
        self.outcome = None
        if self._has_mpi:
            self._check_path()
            _preflight.check_mpi(environment_of(self._places, self._options)["PATH"])
        try:
            self._facts = look_at(self._request, self.address, self._places.ipython_folder)
        except UnfitHostsError as error:
            self.outcome = State("refused", str(error))
            raise

    def _check_path(self) -> None:
        """Open MPI splits the command of its daemon at spaces."""
        if " " in (path := str(script_of(self._places))):
            raise RequestError(
                "MPI starts its daemon on other hosts with a file whose path has no spaces, but got"
                f" {path}. Type, before Python is started: export IPYTHONDIR=FOLDER, one of a file"
                " system that all hosts share"
            )

    async def start_engines(
        self, launched: ipyparallel.Cluster | None, described: Description
    ) -> Description:
        script = self._write_script()
        command = [*self._starter(script), *engine_command(self._places.folder)]
        with self._places.engines_log.open("wb") as log:
            self._steward = subprocess.Popen(
                steward_command(self._places.folder, command),
                env=self._starters_environment(script),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid = self._steward.pid
        return replace(described, mpiexec_pid=self._pid)

    def _write_script(self) -> Path:
        """What a host's shell does first, in a file that all of them see."""
        script = script_of(self._places)
        script.touch(mode=0o600)
        script.write_text(self._script())
        return script

    def _starters_environment(self, script: Path) -> dict[str, str]:
        """Variables of what starts engines, on this host."""
        return {
            **commands.exported(os.environ),
            **environment_of(self._places, self._options),
            **self._on_interface(),
            **daemon_variables(self._request.ssh_options, script),
        }

    def _starter(self, script: Path) -> tuple[str, ...]:
        """The command that starts engines, up to their own words."""
        if not self._has_mpi:
            return each_command(self._request.engines, script, self._request.ssh_options)
        return self._mpiexec(script)

    def _mpiexec(self, script: Path) -> tuple[str, ...]:
        mpiexec = mpiexec_arguments(
            self._request.engines,
            bind=self._options.binding == "core",
            threads=self._threads,
            fault_tolerant=self._survives,
        )
        return (*mpiexec, "bash", str(script))

    @property
    def _threads(self) -> int:
        """Compute threads of each engine: its part of the cores, where these are fewest."""
        shares = (one.cores // self._request.slots[host] for host, one in self._facts.items())
        return self._options.threads_per_engine or max(1, min(shares, default=1))

    def _script(self) -> str:
        return host_script(
            setup=self._request.setup,
            folder=Path.cwd(),
            interpreter=Path(sys.executable),
            environment=self._engine_environment(),
        )

    def _engine_environment(self) -> dict[str, str]:
        """Variables of the engines, over those that the hosts have."""
        most = max(self._request.slots.values())
        cores = min((one.cores for one in self._facts.values()), default=1)
        ours = mpi_environment(most, self._threads, cores)
        del ours["PATH"]  # each host has its own
        scratch = str(self._places.volatile)
        ours |= {
            _processes.MARK: str(self._places.folder),
            ON_HOST: "1",
            COLLECTIVES_VARIABLE: self._options.collectives,
            **ipyparallel_variables(self._places),
            **self._on_interface(),
            "OMPI_MCA_btl_sm_backing_directory": scratch,
            "PRTE_MCA_prte_tmpdir_base": scratch,
        }
        return ours | self._options.environment

    def _on_interface(self) -> dict[str, str]:
        """Keep MPI on the network of the interface, however it is called on other hosts."""
        if self._request.interface is None:
            return {}
        network = _network_of(self._request.interface)
        return {"OMPI_MCA_btl_tcp_if_include": network, "PRTE_MCA_prte_if_include": network}

    async def await_granted(self) -> None:
        while World.read(self._places.folder, _JOB) is None:
            if not self._has_steward:
                self.outcome = State("failed", self._why_no_steward())
                raise AllocationError(self.outcome.reason)
            await asyncio.sleep(_POLL_S)

    def follow(self) -> None:
        if not self._pid:
            self._pid = Description.read(self._places.description).mpiexec_pid

    def look_now(self) -> None:
        return

    def let_go(self) -> None:
        return

    def is_over(self) -> bool:
        world = World.read(self._places.folder, _JOB)
        if world is not None and world.stage == "over":
            self.outcome = State("failed", f"{world.reason} {_RESTART}{self._log_end()}")
        elif not self._has_steward:
            self.outcome = State("failed", self._why_no_steward())
        else:
            return False
        return True

    def starting_state(self, registered: int) -> State:
        if not self._pid:
            return State("starting", "The controller starts, then the hosts are called.")
        engines = self._request.engines
        return State(
            "starting", f"{registered} of {engines} engines have registered. {self._where()}"
        )

    def state(self, engines: State) -> State:
        world = World.read(self._places.folder, _JOB)
        if world is not None and world.stage == "restarting":
            return State("degraded", world.reason)
        if world is not None and world.stage == "over":
            return State("failed", f"{world.reason} {_RESTART}")
        if not self._has_steward:
            return State("failed", self._why_no_steward())
        if engines.name == "ready":
            said = self._where(world)
            return State("ready", f"{said} {world.reason if world else ''}".strip())
        return engines

    def can_leave(self) -> bool:
        return True

    def world(self) -> tuple[int, ...]:
        told = World.read(self._places.folder, _JOB)
        return () if told is None else told.ids

    def renewed(self, changes: Mapping[str, Any]) -> Options:
        raise RequestError(
            "An allocation of a scheduler is renewed before its time is over; hosts that ssh"
            " reaches have no such time. For fresh engines, type: cluster.restart()"
        )

    async def end(self) -> None:
        if not self._pid and self._places.description.exists():
            self._pid = Description.read(self._places.description).mpiexec_pid
        if self._pid and self._places.folder.exists():
            worlds.end(self._places.folder, _JOB)
            until_s = time.monotonic() + (0.0 if self._is_elsewhere else _END_S)
            while self._has_steward and time.monotonic() < until_s:
                await asyncio.sleep(_POLL_S)
        self._pid, self._steward = 0, None

    @property
    def _has_steward(self) -> bool:
        if self._steward is not None:
            return self._steward.poll() is None
        if self._is_elsewhere:
            return True  # as far as this host can see
        return _processes.is_alive(self._pid, self._places.folder)

    @property
    def _is_elsewhere(self) -> bool:
        return _elsewhere.is_elsewhere(self._places)

    @property
    def _survives(self) -> bool:
        """Whether engines live on when one dies: over several hosts MPI would tell nobody of it."""
        return len(self._request.hosts) == 1 or not self._has_mpi

    @property
    def _has_mpi(self) -> bool:
        return self._options.collectives == "mpi"

    def _why_no_steward(self) -> str:
        return (
            f"The steward of the engines (pid {self._pid} on {socket.gethostname()}) has ended, and"
            f" the engines with it. {_RESTART}{self._log_end()}"
        )

    def _log_end(self) -> str:
        lines = exits.last_lines(self._places.engines_log, _SHOWN_LINES)
        shown = "".join(f"\n    {line}" for line in lines)
        return f" The end of its log:{shown}" if shown else ""

    def _where(self, world: World | None = None) -> str:
        hosts = tuple(self._request.slots) if world is None else world.hosts
        return f"On {', '.join(hosts)}."


def daemon_variables(ssh_options: Sequence[str], script: Path) -> dict[str, str]:
    """How mpiexec is to start its daemon on each host."""
    return {
        "PRTE_MCA_plm": "ssh",
        "PRTE_MCA_plm_ssh_agent": " ".join(ssh_words(ssh_options)),
        # Keys lead from here to the hosts, not from one to the others.
        "PRTE_MCA_plm_ssh_no_tree_spawn": "1",
        "PRTE_MCA_prte_launch_agent": f"bash {script} prted",
    }


def _network_of(interface: str) -> str:
    """The network of an interface of this host, such as ``10.0.0.0/24``."""
    found = next(one for one in psutil.net_if_addrs()[interface] if one.family == socket.AF_INET)
    return str(ipaddress.ip_network(f"{found.address}/{found.netmask}", strict=False))
