"""Starting a world under ipyparallel's cluster API."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import ipyparallel
from ipyparallel.cluster.launcher import (
    LocalControllerLauncher,
    LocalProcessLauncher,
    MPIEngineSetLauncher,
)
from traitlets import List, Unicode
from traitlets.config import Config

from interactive_dl.cluster._description import Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._ports import quiet_ports
from interactive_dl.cluster._variables import ipyparallel_variables
from interactive_dl.cluster.controller import controller_command
from interactive_dl.telemetry.commands import engine_command
from interactive_dl.telemetry.recorder import recorder_command

_HEARTBEAT_PERIOD_MS = 500
_SILENCE_BEFORE_DEATH_S = 60
# Each pool holds a few more than ipyparallel takes. They are apart, so that a controller that is
# started again, and has the first two in its connection files, takes the same ones from the third.
_CONTROLLER_PORTS = {"engine_ports": 12, "client_ports": 10, "ports": 10}


class _KeepsItsLog(LocalProcessLauncher):
    """ipyparallel removes a log when its process ends, which is when one wants to read it."""

    def get_output(self, remove: bool = False) -> str:
        return str(super().get_output(remove=False))


class LoggedControllerLauncher(_KeepsItsLog, LocalControllerLauncher):
    """The controller as a process of this machine, which comes back when it is killed."""

    controller_cmd = List(list(controller_command()))


class WorldLauncher(_KeepsItsLog, MPIEngineSetLauncher):
    """One mpiexec that starts a watcher, and through it an engine, for each rank."""

    command = List(Unicode(), help="the whole command line").tag(to_dict=True)

    def find_args(self) -> list[str]:
        """The command line that ipyparallel runs."""
        return list(self.command)


@dataclass(frozen=True)
class Ports:
    """What recorder and controller will listen on.

    Attributes:
        recorder: its port.
        controller: the words that tell it its ports.
    """

    recorder: int
    controller: tuple[str, ...]

    @classmethod
    def draw(cls, address: str) -> Ports:
        """Draw all at once: none is bound yet, so a second draw might give one of them again."""
        first, *rest = quiet_ports(1 + sum(_CONTROLLER_PORTS.values()), address)
        free = map(str, rest)
        pools = {name: itertools.islice(free, count) for name, count in _CONTROLLER_PORTS.items()}
        words = (f"--IPController.{name}={','.join(pool)}" for name, pool in pools.items())
        return cls(first, tuple(words))


def ipyparallel_cluster(places: Places, address: str, ports: Ports) -> ipyparallel.Cluster:
    """ipyparallel's own cluster: it outlives this process and beats often.

    Its controller listens on ``ports`` of ``address``, an IPv4 address of this host.

    An engine is listed after its first heartbeat, so a short period makes a quick start; and one
    that computes without a pause must not be declared dead for a few beats it could not answer.
    """
    misses = _SILENCE_BEFORE_DEATH_S * 1000 // _HEARTBEAT_PERIOD_MS
    log = logging.getLogger(f"{__name__}.ipyparallel")
    # What mpiexec printed is in our own errors; ipyparallel would show it for every stop.
    log.setLevel(logging.CRITICAL)
    return ipyparallel.Cluster(
        config=Config(),
        load_profile=False,
        cluster_id=places.cluster_id,
        profile_dir=str(places.profile),
        controller=LoggedControllerLauncher,
        engines=WorldLauncher,
        shutdown_atexit=False,
        delay=0,
        log=log,
        controller_ip=address,
        controller_args=[
            f"--HeartMonitor.period={_HEARTBEAT_PERIOD_MS}",
            f"--HeartMonitor.max_heartmonitor_misses={misses}",
            *ports.controller,
        ],
    )


def start_recorder(
    places: Places, options: Options, environment: dict[str, str], address: str, port: int
) -> subprocess.Popen[bytes]:
    """Start the process that writes the runs' journals, beside the controller."""
    with (places.folder / "recorder.log").open("wb") as log:
        return subprocess.Popen(
            recorder_command(places.folder, Path(options.runs), port, address),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def start_controller(
    cluster: ipyparallel.Cluster, places: Places, environment: dict[str, str]
) -> None:
    """Start the controller, and wait until engines may come."""
    await cluster.start_controller(
        environment=environment, output_file=str(places.folder / "controller.log")
    )
    await cluster.controller.get_connection_info()


def start_without_mpi(
    places: Places, ranks: int, environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], ...]:
    """Start ``ranks`` engines on this machine, each on its own; they register on their own."""
    world = range(ranks)
    with places.engines_log.open("wb") as log:
        return tuple(
            subprocess.Popen(
                engine_command(places.folder, engine, world),
                env={**os.environ, **environment, **ipyparallel_variables(places)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for engine in world
        )


async def start_engines(
    cluster: ipyparallel.Cluster,
    places: Places,
    ranks: int,
    mpiexec: tuple[str, ...],
    environment: dict[str, str],
) -> None:
    """Start mpiexec with ``ranks`` engines on this machine; they register on their own."""
    await cluster.start_engines(
        ranks,
        command=[*mpiexec, *engine_command(places.folder)],
        environment=environment,
        output_file=str(places.engines_log),
    )
