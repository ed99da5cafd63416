"""The group of engines that train together, and Horovod on it."""

from __future__ import annotations

import random
import socket
import sys
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interactive_dl.engine import _devices, _horovod, world
from interactive_dl.engine._handshake import OutdatedError
from interactive_dl.engine._interrupt import Signals, listening
from interactive_dl.engine._tuning import Tuning
from interactive_dl.errors import GroupError, PeerFailedError

if TYPE_CHECKING:
    import numpy as np
    from mpi4py import MPI

    from interactive_dl.engine._links import Links


@dataclass(frozen=True, repr=False)
class Group:
    """The engines that train one run together; a rank belongs to a group, an engine id is for life.

    Attributes:
        rank: this engine's rank in the group, 0 .. size-1.
        size: number of engines in the group.
        local_rank: rank among the group's engines on this host.
        local_size: number of the group's engines on this host.
        host: this engine's host name.
        engines: stable engine ids, by rank.
        hosts: host names, by rank.
        links: what connects the members.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    engines: tuple[int, ...]
    hosts: tuple[str, ...]
    links: Links = field(compare=False)
    token: str

    def __repr__(self) -> str:
        return f"<Group: {self.engine_name(self.rank)} of {self.size} on {self.host}>"

    @property
    def comm(self) -> MPI.Intracomm:
        """mpi4py's communicator of just these engines, free for the user's own MPI calls.

        Raises:
            GroupError: the cluster's collectives are not MPI's.
        """
        return self.links.comm

    def allgather(self, value: Any) -> list[Any]:
        """Everybody's ``value`` (any picklable object), by rank, on every rank.

        This and the methods below raise ``PeerFailedError`` if a rank fails meanwhile.
        """
        return self.links.allgather(value)

    def broadcast(self, value: Any, root: int = 0) -> Any:
        """``root``'s ``value`` (any picklable object) on every rank."""
        return self.links.broadcast(value, root)

    def broadcast_array(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        """``root``'s array on every rank; ``array`` has the same shape and dtype on all of them."""
        return self.links.broadcast_array(array, root)

    def pass_on(self, block: np.ndarray, to: int, into: np.ndarray, source: int) -> None:
        """Send bytes to rank ``to`` while those of rank ``source`` come; both do the same.

        Args:
            block: uint8, shape (bytes,).
            into: uint8, of the shape of what comes; filled.
        """
        self.links.pass_on(block, to, into, source)

    def interrupts(self) -> AbstractContextManager[Signals]:
        """Count this engine's interrupts within, instead of raising them at any place."""
        return listening()

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Mean of each value over the ranks, bit for bit alike on all; same keys everywhere."""
        gathered = self.allgather(dict(values))
        return {key: sum(each[key] for each in gathered) / self.size for key in values}

    def average_array(self, array: np.ndarray) -> np.ndarray:
        """Mean over the ranks, bit for bit alike on all; ``array`` has the same shape on each."""
        total = self.links.sum_array(array)
        return total / total.dtype.type(self.size)

    def engine_name(self, rank: int) -> str:
        """How messages call a rank: its rank and, where they differ, its engine's id."""
        engine = self.engines[rank]
        return f"rank {rank}" if engine == rank else f"rank {rank} (engine {engine})"


@dataclass
class _State:
    group: Group | None = None
    healthy: bool = False
    stands_in: bool = False

    @property
    def token(self) -> str | None:
        """What tells a group that still works from all others."""
        return self.group.token if self.group is not None and self.healthy else None


_STATE = _State()


def current() -> Group:
    """The group of this engine.

    Raises:
        GroupError: ``init()`` was not called.
    """
    if _STATE.group is None:
        raise GroupError("This engine belongs to no group yet: call engine.init() on all engines.")
    return _STATE.group


def current_and_whole() -> Group:
    """The group of this engine, if it can reduce.

    Raises:
        GroupError: a collective of the group has failed since ``init()``.
    """
    group = current()
    if not _STATE.healthy:
        raise GroupError(
            "A collective of this group has failed, and Horovod is down. Call engine.init() on all"
            " its engines, then train again."
        )
    return group


def is_active() -> bool:
    """Whether this engine belongs to a group that can reduce."""
    return _STATE.group is not None and _STATE.healthy and not _STATE.stands_in


def mark_broken() -> None:
    """Note that a collective of the group failed: the next ``init()`` starts Horovod anew."""
    _STATE.healthy = False


def stand_in(group: Group) -> None:
    """Have ``init()`` give this group, which this engine is still to join, and start nothing.

    It lasts until the engine forms a group, or ``leave()``.
    """
    _STATE.group, _STATE.healthy, _STATE.stands_in = group, True, True


def leave() -> None:
    """Belong to no group."""
    _STATE.group, _STATE.healthy, _STATE.stands_in = None, False, False


def init(
    seed: int | None = None,
    *,
    engines: Iterable[int] | None = None,
    framework: _horovod.Framework | None = None,
    tuning: Tuning | None = None,
) -> Group:
    """Join the group of the engines that this cell runs on, and start Horovod on it.

    Call it on every member. It is safe to call again, in the next cell or on other engines:
    the same members keep their group, others regroup in milliseconds, and no process restarts.
    Where there are GPUs every local rank sees one.

    Args:
        seed: seeds Python's, NumPy's and Keras's generators, alike on every rank (the ranks'
            dropout masks are told apart when training begins).
        engines: stable ids of the members; by default those that the cell was sent to (the whole
            world, or a subset under ``%%px --targets``), under ``mpiexec`` all of them.
        framework: whose Horovod to start; by default that of Keras's backend.
        tuning: how Horovod gathers tensors into messages; by default as rank 0 had it before.
            Another tuning restarts Horovod. Alike on every member.

    Raises:
        GroupError: a member is dead, busy or did not call ``init()``; or Horovod is to be tuned,
            and lacks the patch with which that is safe (docs/setup.md).
        ValueError: the members' tunings differ. On every member.
    """
    chosen = framework or _horovod.keras_framework()
    if not _STATE.stands_in:
        meeting = world.meet(engines, word=_STATE.token)
        if not _is_kept_by(meeting):
            _regroup(meeting)
        if tuning is not None:
            _tune(tuning)
        ensure_framework(chosen)
    if seed is not None:
        _seed(seed)
    return current()


def _tune(tuning: Tuning) -> None:
    """Stop Horovod where it is to start with another tuning; all members call it."""
    tunings = current().allgather(tuning)
    if any(one != tuning for one in tunings):
        raise ValueError(f"All members must have the same tuning, but got, by rank: {tunings}.")
    if any(current().allgather(tuning.apply())):
        _horovod.shutdown()


def form(engines: Collection[int], timeout_s: float = 20.0) -> Group:
    """Form a group of the living among ``engines``; each of them calls this.

    A death on the way, or one that some have not noticed yet, makes the attempt fail for all of
    them; they try again with those that are left.

    Args:
        engines: ids; this engine's among them.
        timeout_s: how long to wait for members that have not noticed a death yet.

    Raises:
        GroupError: a living member did not come.
    """
    framework = _horovod.keras_framework()
    failed: tuple[type[Exception], ...] = (OutdatedError, PeerFailedError, *world.current().errors)
    deadline_s = time.monotonic() + timeout_s
    while True:
        living = world.living(engines)
        try:
            _regroup(world.meet(living, timeout_s=max(1.0, deadline_s - time.monotonic())))
            with _all_or_none(current().links):
                return ensure_framework(framework)
        except failed:
            if time.monotonic() > deadline_s:
                raise


def _is_kept_by(meeting: world.Meeting) -> bool:
    """Whether these engines form a working group already, and no others belong to it."""
    group = _STATE.group
    if group is None or group.engines != meeting.members:
        return False
    return set(meeting.words) == {group.token}


def ensure_framework(framework: _horovod.Framework) -> Group:
    """The current group with this framework's Horovod running on it (all members call it)."""
    group = current()
    if not (_STATE.stands_in or _horovod.is_running(framework)):
        _horovod.start(framework, group.links)
    return group


def _regroup(meeting: world.Meeting) -> None:
    _horovod.shutdown()
    formed = world.join(meeting)
    with _all_or_none(formed.links):
        _enter(formed)


@contextmanager
def _all_or_none(links: Links) -> Iterator[None]:
    """Whoever leaves the body by an error frees the others, who would wait for it in there."""
    try:
        yield
    except BaseException:
        links.revoke()
        raise


def _enter(formed: world.Formed) -> None:
    links = formed.links
    local_rank, local_size = links.local()
    host = socket.gethostname()
    _STATE.group = Group(
        rank=links.rank,
        size=links.size,
        local_rank=local_rank,
        local_size=local_size,
        host=host,
        engines=formed.ids,
        hosts=tuple(links.allgather(host)),
        links=links,
        token=links.broadcast(uuid.uuid4().hex, 0),
    )
    _STATE.healthy, _STATE.stands_in = True, False
    _devices.claim(_STATE.group.local_rank)


def _seed(seed: int) -> None:
    import numpy as np

    if "keras" in sys.modules:
        import keras

        keras.utils.set_random_seed(seed)
    else:
        random.seed(seed)
        np.random.seed(seed)
