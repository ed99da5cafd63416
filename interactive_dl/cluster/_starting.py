"""From nothing to a checked world of engines."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from interactive_dl.cluster import _launcher, _preflight, _processes
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.environment import (
    available_cores,
    binds_to_cores,
    mpi_environment,
    mpiexec_arguments,
    threads_per_rank,
)
from interactive_dl.errors import (
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


def environment_of(places: Places, options: Options) -> dict[str, str]:
    """What controller and engines get on top of this process's own environment."""
    ours = mpi_environment(options.engines, options.threads_per_engine)
    volatile = str(places.volatile)
    ours |= {
        _processes.MARK: str(places.folder),
        "OMPI_MCA_btl_sm_backing_directory": volatile,
        "PRTE_MCA_prte_tmpdir_base": volatile,
    }
    return ours | options.environment


def mpiexec_of(places: Places, options: Options) -> tuple[str, ...]:
    """mpiexec's command line, pinned where the cores suffice and nobody else pins to them."""
    threads = options.threads_per_engine or threads_per_rank(options.engines)
    bind = binds_to_cores(
        options.binding,
        options.engines,
        threads,
        available_cores(),
        host_is_shared=bool(_processes.marks() - {str(places.folder)}),
    )
    return mpiexec_arguments(options.engines, bind=bind, threads=threads)


def check(places: Places, options: Options) -> None:
    """Refuse what cannot work before anything is started."""
    path = environment_of(places, options).get("PATH", os.defpath)
    cores = available_cores()
    _preflight.check(options.engines, oversubscribe=options.oversubscribe, cores=cores, path=path)
    if _processes.marked(places.folder):
        raise ClusterError(
            f"A cluster id is used once at a time, but {places.cluster_id!r} runs already. Reach it"
            f" with idl.Cluster.attach({places.cluster_id!r}), or stop it first: .stop()"
        )


async def launch(places: Places, options: Options) -> ipyparallel.Cluster:
    """Start controller and mpiexec; the engines register on their own."""
    places.create()
    described = Description(places.cluster_id, socket.gethostname(), options, time.time())
    described.write(places.description)
    cluster = _launcher.ipyparallel_cluster(places)
    try:
        recorder = _launcher.start_recorder(places, options, environment_of(places, options))
        await _launcher.launch(
            cluster,
            places,
            options.engines,
            mpiexec_of(places, options),
            environment_of(places, options),
        )
    except (RuntimeError, TimeoutError) as error:
        raise EnginesNotRegisteredError(
            f"Engines register with a controller, but it did not come up: {error}. Type: idl"
            f" doctor. The end of its log:\n{_shown(places.folder / 'controller.log')}"
        ) from error
    replace(
        described,
        controller_pid=cluster.controller.pid,
        mpiexec_pid=cluster.engine_set.pid,
        recorder_pid=recorder.pid,
    ).write(places.description)
    await asyncio.to_thread(
        await_recorder,
        places.folder,
        options.start_timeout_s,
        is_over=lambda: recorder.poll() is not None,
    )
    return cluster


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
    mpiexec = exits.last_lines(places.folder / "mpiexec.log", 20)
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
