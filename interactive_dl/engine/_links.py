"""What the engine room needs of a world of engines, and of a group of some of them.

Two ways lead there, and the choice is the cluster's (``collectives``): MPI (``_mpi``) and Gloo
(``_gloo``). Whatever differs between them is behind these interfaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from mpi4py import MPI


class Talk(Protocol):
    """Small messages between engines, by id, that nobody waits for."""

    @property
    def me(self) -> int:
        """This engine's id."""

    def say(self, engine: int, message: Any) -> None:
        """Send without waiting; what a dead engine would have heard is dropped."""

    def hear(self, engine: int) -> Iterator[Any]:
        """All messages of ``engine`` that have arrived."""

    def dead(self, engines: Sequence[int]) -> list[int]:
        """Those of ``engines`` that are known to be dead."""


class Gathering(Protocol):
    """Numbers of all ranks that are under way to all ranks."""

    @property
    def values(self) -> np.ndarray:
        """Of all ranks, shape (ranks, numbers), once they are there."""

    def is_there(self) -> bool:
        """Whether all have arrived; does not wait."""

    def finish(self) -> None:
        """Wait for them.

        Raises:
            PeerFailedError: a rank failed before it sent its numbers.
        """

    def abandon(self) -> None:
        """Give them up: they may never arrive."""


class Links(Protocol):
    """What connects the members of one group, by rank; all members call a collective alike.

    A collective raises ``PeerFailedError`` if a rank failed or died before it took part.
    """

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def comm(self) -> MPI.Intracomm:
        """mpi4py's communicator of the members.

        Raises:
            GroupError: their collectives are not MPI's.
        """

    def local(self) -> tuple[int, int]:
        """This rank's number among those of its host, and how many they are; a collective."""

    def allgather(self, value: Any) -> list[Any]:
        """Everybody's ``value`` (any picklable object), by rank, on every rank."""

    def broadcast(self, value: Any, root: int) -> Any:
        """``root``'s ``value`` (any picklable object) on every rank."""

    def broadcast_array(self, array: np.ndarray, root: int) -> np.ndarray:
        """``root``'s array on every rank; ``array`` has the same shape and dtype on all of them."""

    def sum_array(self, array: np.ndarray) -> np.ndarray:
        """Sum over the ranks, bit for bit alike; ``array`` has the same shape on each."""

    def pass_on(self, block: np.ndarray, to: int, into: np.ndarray, source: int) -> None:
        """Send bytes to one rank while others come from another, which both do the same.

        Args:
            block: uint8, shape (bytes,), for rank ``to``.
            into: uint8, of the shape of what rank ``source`` sends here; filled.
        """

    def begin_allgather(self, numbers: np.ndarray) -> Gathering:
        """Begin to gather ``numbers``, float64, shape (numbers,), and go on meanwhile."""

    def notify(self, rank: int, notice: Any) -> None:
        """Tell a rank why this one fails; it ends that rank's collectives soon, too."""

    def notices(self, rank: int) -> Iterator[Any]:
        """What a rank has told so."""

    def dead(self) -> frozenset[int]:
        """Ranks that are known to be dead."""

    def revoke(self) -> None:
        """End the collectives of all members, now and later."""

    def start_horovod(self, hvd: ModuleType) -> None:
        """Initialise one of Horovod's libraries on the members; a collective."""


class World(Protocol):
    """All engines that groups can be made of at once.

    Attributes:
        ids: stable engine ids; ascending.
        my_id: this engine's id.
        errors: what else than our own errors says that a member has failed.
    """

    @property
    def ids(self) -> tuple[int, ...]: ...

    @property
    def my_id(self) -> int: ...

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    @property
    def rank(self) -> int:
        """This engine's rank in the world."""

    def living(self) -> tuple[int, ...]:
        """Ids of the engines that are not known to be dead."""

    def talk(self) -> Talk:
        """What engines meet through."""

    def mail(self) -> Talk:
        """What engines join a training through; it waits for one that is still to come."""

    def connect(self, members: tuple[int, ...], tag: str) -> Links:
        """Link engines that have met; all of them call this, with their meeting's tag."""
