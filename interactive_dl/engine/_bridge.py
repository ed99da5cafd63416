"""Engines of several MPI worlds become one communicator.

An engine that replaced a dead one while the others were busy is alone in a world of its own.
Worlds meet like this (seen with Open MPI 5.0.11, 5 ms for each world): each forms a communicator
of its members, then one after another connects to the first one's port. ``Intercomm_create``
through the engine that had spawned the new one is as fast, but MPI takes engines connected that
way for remote ones, some of them only, and the next collective hangs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mpi4py import MPI


class Caller(NamedTuple):
    """What a member of several worlds' meeting says of itself.

    Attributes:
        world: ids of the engines in its world.
        ports: where the others can connect, each once; opened by the lowest id only.
        everybody: ids of all engines that live, as far as it knows.
        word: its own.
    """

    world: tuple[int, ...]
    ports: tuple[str, ...]
    everybody: tuple[int, ...]
    word: Any


@dataclass(frozen=True)
class Bridge:
    """How the members of several worlds come together, the same on all of them.

    Attributes:
        parts: their ids by world; all ascending.
        ports: of the first part's first member, one for each further part.
        is_whole: whether no other engine lives, so that this is the world from now on.
    """

    parts: tuple[tuple[int, ...], ...]
    ports: tuple[str, ...]
    is_whole: bool

    @property
    def order(self) -> tuple[int, ...]:
        """Ids by rank of the communicator that ``cross`` makes."""
        return tuple(engine for part in self.parts for engine in part)

    def part(self, engine: int) -> tuple[int, ...]:
        """The members of an engine's world."""
        return next(part for part in self.parts if engine in part)


def plan(callers: dict[int, Caller]) -> Bridge:
    """The bridge between all callers, by id."""
    worlds: dict[tuple[int, ...], list[int]] = {}
    for engine in sorted(callers):
        worlds.setdefault(callers[engine].world, []).append(engine)
    first = callers[min(callers)]
    return Bridge(
        parts=tuple(tuple(part) for part in worlds.values()),
        ports=first.ports,
        is_whole=set(first.everybody) <= set(callers),
    )


def open_ports(members: Sequence[int], my_id: int) -> tuple[str, ...]:
    """Ports for all that may connect to this engine, if it is the one to open them.

    One for each: of two that connect to the same port, any would come first.
    """
    from mpi4py import MPI

    if my_id != members[0]:
        return ()
    return tuple(MPI.Open_port() for _ in members[1:])


def cross(bridge: Bridge, comm: MPI.Intracomm, my_id: int) -> MPI.Intracomm:
    """Connect the parts; all their members call it, with the communicator of their own part.

    Returns:
        A communicator of all, by ascending id.
    """
    from mpi4py import MPI

    mine = bridge.parts.index(bridge.part(my_id))
    for part, port in enumerate(bridge.ports[: len(bridge.parts) - 1], start=1):
        if part < mine:
            continue
        between = comm.Connect(port) if part == mine else comm.Accept(port)
        comm = between.Merge(high=part == mine)
        comm.Set_errhandler(MPI.ERRORS_RETURN)
    members = tuple(sorted(bridge.order))
    if bridge.order != members:
        comm = MPI.Intracomm(comm.Split(0, members.index(my_id)))
        comm.Set_errhandler(MPI.ERRORS_RETURN)
    return comm
