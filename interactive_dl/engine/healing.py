"""Bringing a world back to its size: the living start what is missing and merge with it.

Without MPI there is nothing to merge: groups are made of old and new engines as they are.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from interactive_dl.engine import _horovod, world
from interactive_dl.engine._mpi import MpiWorld
from interactive_dl.telemetry.commands import engine_command, without_mpi

if TYPE_CHECKING:
    from mpi4py import MPI


def grow(survivors: Sequence[int], new: Sequence[int], folder: str, *, timeout_s: float) -> int:
    """Form one world of old and new engines, and start the new ones; every survivor calls this.

    Groups and Horovods of the old world end here: ``engine.init()`` makes new ones.

    Args:
        survivors: ids of the engines that live, ascending.
        new: ids of the engines to start, ascending, above all ids that ever were; none where
            worlds of survivors are to be united only.
        folder: the cluster's folder.
        timeout_s: how long to wait for survivors that have not called yet.

    Returns:
        The size of the new world.

    Raises:
        GroupError: a survivor is busy, dead or did not call.
    """
    meeting = world.meet(survivors, timeout_s=timeout_s)
    _horovod.shutdown()
    formed = world.join(meeting)
    if not new:
        return len(world.unite(formed.comm, formed.ids).ids)
    ids = (*formed.ids, *new)
    merged = extend(formed.comm, Path(folder), ids)
    return len(world.enter(MpiWorld.of(merged, ids, world.current().my_id)).ids)


def sponsor(new: Sequence[int], folder: str) -> None:
    """Start new engines from this one, while the others are busy; each is a world of its own.

    Groups with the others connect to them (``world.meet``); nothing that runs is touched.
    """
    if without_mpi():
        for engine in new:
            start_alone(Path(folder), engine)
        return
    from mpi4py import MPI

    alone = MPI.COMM_SELF.Dup()
    alone.Set_errhandler(MPI.ERRORS_RETURN)
    for engine in new:
        program, *words = engine_command(Path(folder), engine, (engine,))
        alone.Spawn(program, args=words, maxprocs=1)


def start_alone(folder: Path, engine: int, *, is_invited: bool = False) -> None:
    """Start an engine without MPI on this host, which outlives this one.

    Args:
        folder: the cluster's folder.
        engine: its id.
        is_invited: whether it is to join a training that runs.

    Raises:
        OSError: this host cannot start it.
    """
    command = engine_command(folder, engine, (engine,), is_invited=is_invited)
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def join_parents(
    parents: MPI.Intercomm, folder: Path, ids: tuple[int, ...], *, is_invited: bool = False
) -> MPI.Intracomm:
    """What a new engine does while the others ``extend``: merge, and help to start the next.

    One that is to be alone does neither; its sponsor does not wait for it.
    """
    from mpi4py import MPI

    if len(ids) == 1:
        return MPI.COMM_SELF.Dup()
    return extend(parents.Merge(high=True), folder, ids, is_invited=is_invited)


def extend(
    comm: MPI.Intracomm, folder: Path, ids: tuple[int, ...], *, is_invited: bool = False
) -> MPI.Intracomm:
    """Start the engines that ``comm`` lacks of the world ``ids``, and merge with each.

    One at a time: mpiexec treats engines that were spawned together as one job, and ends the
    whole job when one of them dies (seen with Open MPI 5.0.11; the first world is spared).
    """
    for engine in ids[comm.size :]:
        program, *words = engine_command(folder, engine, ids, is_invited=is_invited)
        comm = comm.Spawn(program, args=words, maxprocs=1).Merge(high=False)
    return comm
