"""Engines on this machine: one mpiexec beside the controller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from interactive_dl.cluster import _launcher, _preflight, _processes
from interactive_dl.cluster._allocation import SURVIVED
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._doctor import Report, doctor
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import State
from interactive_dl.cluster._variables import environment_of
from interactive_dl.cluster.environment import (
    available_cores,
    binds_to_cores,
    mpiexec_arguments,
    threads_per_rank,
)
from interactive_dl.errors import RequestError
from interactive_dl.telemetry import exits

if TYPE_CHECKING:
    import ipyparallel

_DEFAULT_ENGINES = 4


class LocalAllocation:
    """This machine: there is always room, and the engines are processes beside the controller.

    mpiexec starts them, or, where they need no MPI, this process does.
    """

    address = "127.0.0.1"
    after_death = SURVIVED
    outcome: State | None = None

    def __init__(self, places: Places, options: Options) -> None:
        self._places = places
        self._options = options
        self._launched: ipyparallel.Cluster | None = None

    @classmethod
    def complete(
        cls, engines: int | None, request: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if request:
            raise RequestError(
                "On this machine a cluster has no options of a scheduler, but got"
                f" {', '.join(request)}. Type: idl.Cluster('slurm', ...), or help(idl.Cluster)"
            )
        return _DEFAULT_ENGINES if engines is None else engines, {}

    def job_script(self) -> str:
        raise RequestError(
            "Engines on this machine need no job script. Type:"
            " idl.Cluster('slurm', nodes=2).job_script()"
        )

    async def examine(self) -> Report:
        return await asyncio.to_thread(doctor, self._options.environment)

    def check(self) -> None:
        options = self._options
        _preflight.check(
            options.engines,
            oversubscribe=options.oversubscribe,
            cores=available_cores(),
            path=environment_of(self._places, options)["PATH"] if self._has_mpi else None,
        )

    async def start_engines(
        self, launched: ipyparallel.Cluster | None, described: Description
    ) -> Description:
        assert launched is not None
        environment = environment_of(self._places, self._options)
        engines = self._options.engines
        if not self._has_mpi:
            _launcher.start_without_mpi(self._places, engines, environment)
            return described
        await _launcher.start_engines(launched, self._places, engines, self._mpiexec(), environment)
        self._launched = launched
        return replace(described, mpiexec_pid=launched.engine_set.pid)

    @property
    def _has_mpi(self) -> bool:
        return self._options.collectives == "mpi"

    def _mpiexec(self) -> tuple[str, ...]:
        """Its command line, pinned where the cores suffice and nobody else pins to them."""
        options = self._options
        threads = options.threads_per_engine or threads_per_rank(options.engines)
        bind = binds_to_cores(
            options.binding,
            options.engines,
            threads,
            available_cores(),
            host_is_shared=bool(_processes.marks() - {str(self._places.folder)}),
        )
        return mpiexec_arguments(options.engines, bind=bind, threads=threads)

    async def await_granted(self) -> None:
        return

    def follow(self) -> None:
        return

    def look_now(self) -> None:
        return

    def let_go(self) -> None:
        return

    def is_over(self) -> bool:
        sets = self._launched.engines.values() if self._launched else ()
        return any(launcher.state == "after" for launcher in sets)

    def starting_state(self, registered: int) -> State:
        return State("starting")

    def state(self, engines: State) -> State:
        return engines

    def can_leave(self) -> bool:
        return True

    def world(self) -> tuple[int, ...]:
        return exits.world(self._places.folder)

    def renewed(self, changes: Mapping[str, Any]) -> Options:
        raise RequestError(
            "An allocation of a scheduler is renewed before its time is over; engines on this"
            " machine have no such time. For fresh ones, type: cluster.restart()"
        )

    async def end(self) -> None:
        """Nothing: whoever ends the cluster's processes ends mpiexec, too."""
        self._launched = None
