"""One rank fails, all ranks stop: who failed, and why, told to everybody.

A rank that leaves a collective training by an exception would leave the others waiting in the next
allreduce for ever. It therefore tells them why, by messages that need no answer, and shuts its
Horovod down, which ends the others' collectives with an error. A rank that gets such an error looks
for the messages, or asks who died, and raises an error that names the first to fail.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from interactive_dl.engine import _horovod
from interactive_dl.engine.group import Group, mark_broken
from interactive_dl.errors import PeerFailedError

_NOTICE_TIMEOUT_S = 3.0
_ALIKE_TIMEOUT_S = 1.0
_POLL_S = 0.01


@dataclass(frozen=True)
class Failure:
    """Why a rank left the training.

    Attributes:
        rank: who.
        time_s: when, in seconds since the epoch by its own clock.
        error: the exception, as ``Type: message``.
    """

    rank: int
    time_s: float
    error: str


def tell(group: Group, error: BaseException) -> None:
    """Tell the others, without waiting for them, that this rank failed with ``error``."""
    failure = Failure(group.rank, time.time(), f"{type(error).__name__}: {error}"[:2000])
    for peer in range(group.size):
        if peer != group.rank:
            group.links.notify(peer, failure)


def leave() -> None:
    """End the collectives of the others, which would wait for this rank for ever."""
    mark_broken()
    _horovod.shutdown()


def tell_and_leave(group: Group, error: BaseException) -> None:
    """Tell the others, end their collectives, and note on ``error`` whose it is."""
    tell(group, error)
    leave()
    error.add_note(f"This was {group.engine_name(group.rank)} of {group.size} on {group.host}.")


def all_failed(group: Group, error: BaseException) -> bool:
    """Tell the others of ``error``, and whether they all fail as well, at about the same time.

    Then nobody waits in a collective, and the group may stay as it is: a mistyped name in a cell
    costs nobody his Horovod.
    """
    tell(group, error)
    failed = {group.rank}
    deadline = time.monotonic() + _ALIKE_TIMEOUT_S
    while len(failed) < group.size and time.monotonic() < deadline:
        failed.update(failure.rank for failure in _received(group))
        time.sleep(_POLL_S)
    return len(failed) == group.size


def ended_by_peer(error: BaseException) -> bool:
    """Whether ``error`` says that a collective, Horovod's or a group's, could not be completed."""
    return isinstance(error, PeerFailedError) or _horovod.is_collective_error(error)


@dataclass(frozen=True)
class Cause:
    """Why a collective failed.

    Attributes:
        failure: what the first rank to raise has told; None if none has.
        dead: ranks that are known to be dead.
    """

    failure: Failure | None
    dead: tuple[int, ...]


def cause_of_failure(group: Group) -> Cause:
    """Leave the failed collective, and find out why it failed; waits a little for the news."""
    leave()
    failure = _first_failure(group)
    return Cause(failure, _dead_ranks(group))


def explain(group: Group, error: BaseException) -> PeerFailedError:
    """Turn a failed collective into an error that names the rank that failed first."""
    return explanation(group, error, cause_of_failure(group))


def explanation(group: Group, error: BaseException, cause: Cause) -> PeerFailedError:
    """The error of a collective that failed for this cause."""
    failure, dead = cause.failure, cause.dead
    if failure is not None:
        return PeerFailedError(
            f"{group.engine_name(failure.rank)} of {group.size} failed first, with"
            f" {failure.error}\nThe others stopped with it. Mend the cause, then call"
            " engine.init() on all engines and train again."
        )
    if dead:
        names = ", ".join(group.engine_name(rank) for rank in dead)
        return PeerFailedError(
            f"{names} of {group.size} died during the training. The cause is in cluster.deaths;"
            " cluster.heal() replaces the dead, then engine.init() and train again (from a"
            " checkpoint, or from the weights in memory)."
        )
    return PeerFailedError(
        f"A collective failed, and no rank said why: {error}\n"
        "Call engine.init() on all engines to form the group again."
    )


def _first_failure(group: Group) -> Failure | None:
    """The earliest failure that peers told, waiting a little for the first notice."""
    failures: list[Failure] = []
    deadline = time.monotonic() + _NOTICE_TIMEOUT_S
    while not failures and time.monotonic() < deadline and not _dead_ranks(group):
        failures += _received(group)
        time.sleep(_POLL_S)
    failures += _received(group)
    return min(failures, key=lambda failure: failure.time_s, default=None)


def _received(group: Group) -> list[Failure]:
    peers = (peer for peer in range(group.size) if peer != group.rank)
    return [failure for peer in peers for failure in group.links.notices(peer)]


def _dead_ranks(group: Group) -> tuple[int, ...]:
    return tuple(sorted(group.links.dead()))
