"""One rank fails, all ranks stop: who failed, and why, told to everybody.

A rank that leaves a collective training by an exception would leave the others waiting in the next
allreduce for ever. It therefore tells them why, by messages that need no answer, and shuts its
Horovod down, which ends the others' collectives with an error. A rank that gets such an error looks
for the messages, or asks MPI who died, and raises an error that names the first to fail.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from interactive_dl.engine import _horovod
from interactive_dl.engine.group import Group, mark_broken
from interactive_dl.errors import PeerFailedError

_TAG = 7001
_NOTICE_TIMEOUT_S = 3.0


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


def leave(group: Group, error: BaseException) -> None:
    """Tell the group that this rank leaves because of ``error``, and end its collectives."""
    if group.size > 1:
        failure = Failure(group.rank, time.time(), f"{type(error).__name__}: {error}"[:2000])
        for peer in range(group.size):
            if peer != group.rank:
                _send(group, failure, peer)
    mark_broken()
    _horovod.shutdown()


def explain(group: Group, error: BaseException) -> PeerFailedError:
    """Turn a failed collective into an error that names the rank that failed first."""
    mark_broken()
    _horovod.shutdown()
    failure = _first_failure(group)
    if failure is not None:
        return PeerFailedError(
            f"{group.engine_name(failure.rank)} of {group.size} failed first, with"
            f" {failure.error}\nThe others stopped with it. Mend the cause, then call"
            " engine.init() on all engines and train again."
        )
    dead = _dead_ranks(group)
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


def _send(group: Group, failure: Failure, peer: int) -> None:
    from mpi4py import MPI

    try:
        _PENDING.append(group.comm.isend(failure, dest=peer, tag=_TAG))
    except MPI.Exception:
        return  # a dead peer needs no notice


_PENDING: list[Any] = []  # requests must outlive their messages


def _first_failure(group: Group) -> Failure | None:
    """The earliest failure that peers told, waiting a little for the first notice."""
    failures: list[Failure] = []
    deadline = time.monotonic() + _NOTICE_TIMEOUT_S
    while not failures and time.monotonic() < deadline and not _dead_ranks(group):
        failures += _received(group)
        time.sleep(0.01)
    failures += _received(group)
    return min(failures, key=lambda failure: failure.time_s, default=None)


def _received(group: Group) -> list[Failure]:
    from mpi4py import MPI

    failures = []
    for peer in range(group.size):
        try:
            while peer != group.rank and group.comm.iprobe(source=peer, tag=_TAG):
                failures.append(group.comm.recv(source=peer, tag=_TAG))
        except MPI.Exception:
            continue  # nothing more comes from a dead peer
    return failures


def _dead_ranks(group: Group) -> tuple[int, ...]:
    from mpi4py import MPI

    dead = group.comm.Get_failed()
    ranks = dead.Translate_ranks(list(range(dead.Get_size())), group.comm.Get_group())
    return tuple(rank for rank in ranks if rank != MPI.UNDEFINED)
