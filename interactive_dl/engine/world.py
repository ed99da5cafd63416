"""The world that an engine lives in, and groups formed among some of its members.

A group is made by its members alone (``Create_from_group``), so an engine that is busy or dead
elsewhere delays nobody. Before that step, which cannot be interrupted, the members shake hands
with a time-out: whoever is missing is named on all those who wait.

An MPI engine that was started while the others were busy is alone in a world of its own. Groups
span worlds (``_bridge``), and one of all that live is the world from then on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interactive_dl.engine import _bridge, _handshake, _request
from interactive_dl.engine._links import Links, World
from interactive_dl.engine._mpi import MpiLinks, MpiWorld
from interactive_dl.engine._post import Post
from interactive_dl.errors import GroupError
from interactive_dl.telemetry import exits

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True)
class Formed:
    """A new group: its links (rank order is ascending id) and its members' ids by rank."""

    links: Links
    ids: tuple[int, ...]

    @property
    def comm(self) -> MPI.Intracomm:
        """MPI's communicator of the members.

        Raises:
            GroupError: their collectives are not MPI's.
        """
        return self.links.comm


@dataclass
class _Place:
    world: World | None = None


_PLACE = _Place()


def enter(here: World) -> World:
    """Make ``here`` this engine's world."""
    _PLACE.world = here
    return here


def current() -> World:
    """This engine's world; under plain ``mpiexec`` COMM_WORLD, with ranks for ids."""
    if _PLACE.world is None:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
        return enter(MpiWorld.of(comm, tuple(range(comm.size)), comm.rank))
    return _PLACE.world


def everybody() -> tuple[int, ...]:
    """Ids of all engines that live, those of other worlds of the cluster included."""
    world, folder = current(), _folder()
    living = world.living()
    if folder is None:
        return living
    # A watcher's word may be there before the world's, and the other way round.
    return tuple(sorted(exits.living(folder) - (set(world.ids) - set(living))))


def living(among: Collection[int]) -> tuple[int, ...]:
    """Those of ``among`` that are not known to be dead."""
    known = current().living() if set(among) <= set(current().ids) else everybody()
    return tuple(engine for engine in known if engine in among)


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
        bridge: between their worlds; None where they have one in common.
    """

    members: tuple[int, ...]
    tag: str
    words: tuple[Any, ...]
    bridge: _bridge.Bridge | None = None


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
            return _meet(world, everybody(), word, deadline_s - time.monotonic())
        except _handshake.OutdatedError:
            if time.monotonic() > deadline_s:
                raise


def _meet(world: World, members: tuple[int, ...], word: Any, timeout_s: float) -> Meeting:
    if len(members) == 1:
        return Meeting(members, f"idl-alone-{world.my_id}", (word,))
    folder = None if set(members) <= set(world.ids) else _folder()
    if folder is not None:
        return _meet_others(folder, world, members, word, timeout_s)
    agreed = _handshake.meet(world.talk(), members, word=word, timeout_s=timeout_s)
    return Meeting(members, agreed.tag, tuple(agreed.words[engine] for engine in members))


def _meet_others(
    folder: Path, world: World, members: tuple[int, ...], word: Any, timeout_s: float
) -> Meeting:
    """Meet engines that MPI does not connect to this one yet."""
    ports = _bridge.open_ports(members, world.my_id)
    mine = _bridge.Caller(world.ids, ports, everybody(), word)
    channel = Post(folder, world.my_id)
    agreed = _handshake.meet(channel, members, word=mine, timeout_s=timeout_s)
    words = tuple(agreed.words[engine].word for engine in members)
    return Meeting(members, agreed.tag, words, _bridge.plan(agreed.words))


def join(meeting: Meeting) -> Formed:
    """Link a meeting's members; all of them call this right after it, without Horovod running."""
    world, bridge = current(), meeting.bridge
    if bridge is None:
        return Formed(world.connect(meeting.members, meeting.tag), meeting.members)
    part = bridge.part(world.my_id)
    own = world.connect(part, f"{meeting.tag}-{part[0]}")
    comm = _bridge.cross(bridge, own.comm, world.my_id)
    if bridge.is_whole:
        unite(comm.Dup(), meeting.members)
    return Formed(MpiLinks(comm), meeting.members)


def unite(comm: MPI.Intracomm, ids: tuple[int, ...]) -> World:
    """Make ``comm`` the world of all engines ``ids``, by rank, and leave word of it."""
    folder = _folder()
    if folder is not None:
        exits.record_union(folder, ids)
    return enter(MpiWorld.of(comm, ids, current().my_id))


def _folder() -> Path | None:
    """The folder of the cluster that this process is an engine of; None in a plain script."""
    name = os.environ.get("IDL_CLUSTER")
    if not name:
        return None
    birth = exits.births(Path(name)).get(current().my_id)
    return Path(name) if birth is not None and birth.pid == os.getpid() else None


def form(ids: Iterable[int] | None = None, *, timeout_s: float = 30.0) -> Formed:
    """Link some engines, in milliseconds once all are here: meet, then join.

    Raises:
        GroupError: as ``meet``.
    """
    return join(meet(ids, timeout_s=timeout_s))


def _members(world: World, asked: Iterable[int]) -> tuple[int, ...]:
    members = tuple(sorted(set(asked)))
    folder = None if set(members) <= set(world.ids) else _folder()
    others = exits.births(folder) if folder is not None else ()
    unknown = [engine for engine in members if engine not in world.ids and engine not in others]
    if unknown:
        raise GroupError(
            f"A group is made of engines of one cluster, but engines {unknown} are not among"
            f" {sorted({*world.ids, *others})}. List the engines with cluster.engines."
        )
    if world.my_id not in members:
        raise GroupError(
            f"Every caller must be a member of the group, but engine {world.my_id} asked for"
            f" {list(members)}. Run the cell on those only: %%px --targets"
            f" {','.join(map(str, members))}"
        )
    return members
