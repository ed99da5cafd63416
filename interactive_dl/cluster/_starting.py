"""From nothing to a checked world of engines."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from interactive_dl.cluster import _elsewhere, _launcher, _processes
from interactive_dl.cluster._allocation import Allocation
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._variables import environment_of
from interactive_dl.errors import (
    AllocationError,
    ClusterError,
    EnginesNotRegisteredError,
    NotEnoughSlotsError,
    WorldSizeError,
)
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.recorder import await_recorder

if TYPE_CHECKING:
    import ipyparallel

    from interactive_dl.cluster._client import Client

_POLL_S = 0.02
_REFUSED_SLOTS = "There are not enough slots available"


def check(places: Places, allocation: Allocation) -> None:
    """Refuse what cannot work before anything is started."""
    allocation.check()
    if _elsewhere.is_elsewhere(places):
        _elsewhere.check_unused(places)
    elif _processes.marked(places.folder):
        raise ClusterError(
            f"A cluster id is used once at a time, but {places.cluster_id!r} runs already. Reach it"
            f" with idl.Cluster.attach({places.cluster_id!r}), or stop it first: .stop()"
        )


async def launch(places: Places, options: Options, allocation: Allocation) -> ipyparallel.Cluster:
    """Start recorder and controller, and ask for engines; they register on their own."""
    places.create()
    described = Description(places.cluster_id, socket.gethostname(), options, time.time())
    described.write(places.description)
    address, environment = allocation.address, environment_of(places, options)
    ports = _launcher.Ports.draw(address)
    cluster = _launcher.ipyparallel_cluster(places, address, ports)
    try:
        recorder = _launcher.start_recorder(places, options, environment, address, ports.recorder)
        await _launcher.start_controller(cluster, places, environment)
        described = await allocation.start_engines(cluster, described)
    except (RuntimeError, TimeoutError) as error:
        raise EnginesNotRegisteredError(
            f"Engines register with a controller, but it did not come up: {error}. Type: idl"
            f" doctor. The end of its log:\n{_shown(places.folder / 'controller.log')}"
        ) from error
    replace(described, controller_pid=cluster.controller.pid, recorder_pid=recorder.pid).write(
        places.description
    )
    await asyncio.to_thread(
        await_recorder,
        places.folder,
        options.start_timeout_s,
        is_over=lambda: recorder.poll() is not None,
    )
    return cluster


async def await_engines_of(
    allocation: Allocation,
    client: Client,
    places: Places,
    wanted: Callable[[], Collection[int]],
    timeout_s: float,
    *,
    size: int | None = None,
) -> tuple[int, ...]:
    """Wait until the engines of an allocation that was granted have registered.

    Args:
        allocation: in which they start.
        client: connected to the controller.
        places: of the cluster.
        wanted: tells their ids; none before they are known.
        timeout_s: how long they may take from then on.
        size: as of ``await_engines``.

    Returns:
        Their ids.

    Raises:
        AllocationError: it ended before.
        WorldSizeError, NotEnoughSlotsError, EnginesNotRegisteredError: as of ``await_engines``.
    """
    try:
        while not (ids := tuple(wanted())):
            if allocation.is_over():
                raise EnginesNotRegisteredError(
                    "Engines register with a controller, but none was started. Type: idl doctor"
                )
            await asyncio.sleep(_POLL_S)
        await await_engines(client, places, ids, timeout_s, is_over=allocation.is_over, size=size)
    except EnginesNotRegisteredError as error:
        if allocation.outcome is None:
            raise
        raise AllocationError(allocation.outcome.reason) from error
    return ids


async def await_engines(
    client: Client,
    places: Places,
    wanted: Collection[int],
    timeout_s: float,
    is_over: Callable[[], bool],
    *,
    size: int | None = None,
) -> None:
    """Wait until the engines ``wanted`` have registered.

    Args:
        client: connected to the controller.
        places: of the cluster.
        wanted: engine ids.
        timeout_s: how long they may take.
        is_over: whether there is no hope left: mpiexec has ended.
        size: of the world in which each must be born with its id for rank; None for any world.

    Raises:
        WorldSizeError: one was born in another world.
        NotEnoughSlotsError: mpiexec refused.
        EnginesNotRegisteredError: one ended before, or the time ran out.
    """
    deadline_s = time.monotonic() + timeout_s
    while not set(wanted) <= set(client.ids):
        # First of all: an engine in a wrong world may end, or never register.
        if size is not None:
            _check_births(exits.births(places.folder), size)
        ended = [engine for engine in exits.exits(places.folder) if engine in wanted]
        if ended or is_over() or time.monotonic() > deadline_s:
            missing = sorted(set(wanted) - set(client.ids))
            raise _registration_error(places, missing, len(wanted), timeout_s)
        await asyncio.sleep(_POLL_S)


def check_world(places: Places, client: Client, size: int) -> None:
    """Check that there is one world, of the size asked for, whose ranks are the engine ids.

    Raises:
        WorldSizeError: it is not so.
    """
    _check_births(exits.births(places.folder), size)
    ids = tuple(sorted(client.ids))
    if ids != tuple(range(size)):
        raise WorldSizeError(
            f"{size} engines must form one MPI world with engine id == rank, but the ids are"
            f" {list(ids)}. Type: idl doctor"
        )


def _check_births(births: Mapping[int, exits.Birth], size: int) -> None:
    """Compare what MPI told the engines born so far with the world that was asked for."""
    sizes = sorted({len(birth.world) for birth in births.values()})
    ranks = {engine: birth.rank for engine, birth in births.items()}
    if sizes == [1] and size > 1:
        raise WorldSizeError(
            f"{size} engines must form one MPI world, but each is alone in a world of size 1:"
            " mpiexec belongs to another MPI than the one that mpi4py loads. Type: idl doctor"
        )
    if set(sizes) - {size} or any(engine != rank for engine, rank in ranks.items()):
        raise WorldSizeError(
            f"{size} engines must form one MPI world with engine id == rank, but the worlds have"
            f" sizes {sizes} and the ranks by id are {ranks}. Type: idl doctor"
        )


def _registration_error(
    places: Places, missing: list[int], wanted: int, timeout_s: float
) -> Exception:
    mpiexec = exits.last_lines(places.engines_log, 20)
    if any(_REFUSED_SLOTS in line for line in mpiexec):
        return NotEnoughSlotsError(
            f"mpiexec found fewer slots than the {wanted} engines asked for. Start fewer engines,"
            " or let them share cores: idl.Cluster(..., oversubscribe=True)."
        )
    ended = exits.exits(places.folder)
    first = next((engine for engine in missing if engine in ended), missing[0])
    how = f" Engine {first}: {ended[first].reason}." if first in ended else ""
    lines = exits.last_lines(exits.log_file(places.folder, first)) or mpiexec
    lines = lines or exits.last_lines(places.folder / "controller.log")
    return EnginesNotRegisteredError(
        f"All {wanted} engines must register within {timeout_s:g} s, but {missing} did not.{how}"
        f" Type: idl doctor. The end of the log of engine {first}:\n{_indented(lines)}"
    )


def _shown(log: Path) -> str:
    return _indented(exits.last_lines(log))


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines) or "    (empty)"
