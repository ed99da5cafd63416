"""The MPI world that an engine lives in, and groups formed among some of its members.

A group is made by its members alone (``Create_from_group``), so an engine that is busy or dead
elsewhere delays nobody. Before that step, which cannot be interrupted, the members shake hands
with a time-out: whoever is missing is named on all those who wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interactive_dl.engine import _handshake, _request
from interactive_dl.errors import GroupError

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True)
class World:
    """All engines that one MPI can reach.

    Attributes:
        comm: communicator of the whole world, the dead included; use it to form groups only.
        ids: stable engine ids, by rank of ``comm``; ascending.
        my_id: this engine's id.
    """

    comm: MPI.Intracomm
    ids: tuple[int, ...]
    my_id: int

    @property
    def rank(self) -> int:
        """This engine's rank in the world."""
        return self.ids.index(self.my_id)

    def living(self) -> tuple[int, ...]:
        """Ids of the engines that MPI does not know to be dead."""
        dead = _handshake.failed_ranks(self.comm)
        return tuple(engine for rank, engine in enumerate(self.ids) if rank not in dead)


@dataclass(frozen=True)
class Formed:
    """A new group: its communicator (rank order is ascending id) and its members' ids by rank."""

    comm: MPI.Intracomm
    ids: tuple[int, ...]


@dataclass
class _Place:
    world: World | None = None


_PLACE = _Place()


def enter(comm: MPI.Intracomm, ids: tuple[int, ...], my_id: int) -> World:
    """Make ``comm`` this engine's world; ``ids`` are its members' ids by rank."""
    from mpi4py import MPI

    comm.Set_errhandler(MPI.ERRORS_RETURN)
    _PLACE.world = World(comm, ids, my_id)
    return _PLACE.world


def current() -> World:
    """This engine's world; under plain ``mpiexec`` COMM_WORLD, with ranks for ids."""
    if _PLACE.world is None:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
        return enter(comm, tuple(range(comm.size)), comm.rank)
    return _PLACE.world


def cell_targets() -> tuple[int, ...] | None:
    """Ids of the engines that the running cell was sent to; None where that is not known."""
    return _request.targets(current().my_id)


@dataclass(frozen=True)
class Meeting:
    """Engines that are all here and may form a group.

    Attributes:
        members: their ids, ascending.
        tag: new for every meeting, the same on all members.
        words: what each member said, by rank.
    """

    members: tuple[int, ...]
    tag: str
    words: tuple[Any, ...]


def meet(ids: Iterable[int] | None = None, *, word: Any = None, timeout_s: float = 30.0) -> Meeting:
    """Wait until some engines are all here; every one of them must call this.

    Args:
        ids: the members; by default the engines that the running cell was sent to, else all
            living ones.
        word: anything picklable that the other members shall know.
        timeout_s: how long to wait for members that have not called yet.

    Raises:
        GroupError: a member is dead, busy or did not call, or calls for another group; it is
            named on every member that waits.
    """
    world = current()
    asked = tuple(ids) if ids is not None else cell_targets()
    if asked is not None:
        return _meet(world, _members(world, asked), word, timeout_s)
    # Engines learn of a death some milliseconds apart: until then their lists differ.
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            return _meet(world, world.living(), word, deadline_s - time.monotonic())
        except _handshake.OutdatedError:
            if time.monotonic() > deadline_s:
                raise


def _meet(world: World, members: tuple[int, ...], word: Any, timeout_s: float) -> Meeting:
    if len(members) == 1:
        return Meeting(members, f"idl-alone-{world.my_id}", (word,))
    agreed = _handshake.meet(world.comm, world.ids, members, word=word, timeout_s=timeout_s)
    return Meeting(members, agreed.tag, tuple(agreed.words[engine] for engine in members))


def join(meeting: Meeting) -> Formed:
    """Make the communicator of a meeting's members; all of them call this right after it.

    Horovod must not run in any of them: with its thread's messages under way,
    ``Create_from_group`` hangs (seen with 4 ranks and Open MPI 5.0.11).
    """
    return Formed(_communicator(current(), meeting.members, meeting.tag), meeting.members)


def form(ids: Iterable[int] | None = None, *, timeout_s: float = 30.0) -> Formed:
    """Make a communicator of some engines, in milliseconds once all are here: meet, then join.

    Raises:
        GroupError: as ``meet``.
    """
    return join(meet(ids, timeout_s=timeout_s))


def _members(world: World, asked: Iterable[int]) -> tuple[int, ...]:
    members = tuple(sorted(set(asked)))
    unknown = [engine for engine in members if engine not in world.ids]
    if unknown:
        raise GroupError(
            f"A group is made of engines of one world, but engines {unknown} are not among"
            f" {list(world.ids)}. List the engines with cluster.engines."
        )
    if world.my_id not in members:
        raise GroupError(
            f"Every caller must be a member of the group, but engine {world.my_id} asked for"
            f" {list(members)}. Run the cell on those only: %%px --targets"
            f" {','.join(map(str, members))}"
        )
    return members


def _communicator(world: World, members: tuple[int, ...], tag: str) -> MPI.Intracomm:
    from mpi4py import MPI

    if len(members) == 1:  # also in a script without mpiexec, where groups cannot be made
        alone = MPI.COMM_SELF.Dup()
        alone.Set_errhandler(MPI.ERRORS_RETURN)
        return alone
    everyone = world.comm.Get_group()
    group = everyone.Incl([world.ids.index(engine) for engine in members])
    comm = MPI.Intracomm.Create_from_group(group, tag, errhandler=MPI.ERRORS_RETURN)
    group.Free()
    everyone.Free()
    comm.Set_errhandler(MPI.ERRORS_RETURN)
    return comm
