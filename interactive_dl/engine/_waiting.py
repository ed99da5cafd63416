"""MPI collectives in which no rank waits for ever for one that has failed or died.

A blocking collective would: it hears neither a failed rank's notice nor the notebook's interrupt.
"""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from interactive_dl.engine import _handshake
from interactive_dl.errors import PeerFailedError

if TYPE_CHECKING:
    from mpi4py import MPI

NOTICE_TAG = 7001
_BLOCK_TAG = 7002
# A rank that took part before it failed leaves the others a collective that they can complete.
_GRACE_S = 0.5
_SPIN_S = 0.002
_NAP_S = 0.0005
_MESSAGE = (
    "Another rank of the group failed while this one waited for it. Call engine.init() on all"
    " engines to form the group again."
)
_ABANDONED: list[Any] = []  # requests, and the buffers that MPI may still write to


def wait(comm: MPI.Intracomm, request: MPI.Request) -> None:
    """Complete ``request``, a collective over ``comm`` or a message.

    Raises:
        PeerFailedError: a rank sent notice of its failure, or died, before it took part.
    """
    from mpi4py import MPI

    begin_s = time.monotonic()
    failed_s: float | None = None
    try:
        while not request.Test():
            now_s = time.monotonic()
            if now_s - begin_s < _SPIN_S:
                continue
            time.sleep(_NAP_S)
            if failed_s is None and _anyone_failed(comm):
                failed_s = now_s
            if failed_s is not None and now_s - failed_s > _GRACE_S:
                _ABANDONED.append(request)
                raise PeerFailedError(_MESSAGE)
    except MPI.Exception as error:
        raise PeerFailedError(_MESSAGE) from error


def abandon(request: MPI.Request, *buffers: np.ndarray) -> None:
    """Give up a collective that may never complete; what MPI may still write to is kept."""
    _ABANDONED.append((request, buffers))


def _anyone_failed(comm: MPI.Intracomm) -> bool:
    if _handshake.failed_ranks(comm):
        return True
    # Not from any source at once: MPI refuses that as soon as one of them is dead.
    peers = (peer for peer in range(comm.size) if peer != comm.rank)
    return any(comm.Iprobe(source=peer, tag=NOTICE_TAG) for peer in peers)


def allgather(comm: MPI.Intracomm, value: Any) -> list[Any]:
    """Everybody's ``value`` (any picklable object), by rank."""
    mine = np.frombuffer(pickle.dumps(value), dtype=np.uint8)
    sizes = np.empty(comm.size, dtype=np.int64)
    wait(comm, comm.Iallgather(np.array([mine.size], dtype=np.int64), sizes))
    gathered = np.empty(sizes.sum(), dtype=np.uint8)
    wait(comm, comm.Iallgatherv(mine, [gathered, sizes]))
    parts = np.split(gathered, np.cumsum(sizes)[:-1])
    return [pickle.loads(part.tobytes()) for part in parts]


def broadcast(comm: MPI.Intracomm, value: Any, root: int) -> Any:
    """``root``'s ``value`` (any picklable object) on every rank."""
    sending = comm.rank == root
    data = np.frombuffer(pickle.dumps(value), dtype=np.uint8) if sending else None
    size = np.array([0 if data is None else data.size], dtype=np.int64)
    wait(comm, comm.Ibcast(size, root=root))
    buffer = np.empty(size[0], dtype=np.uint8) if data is None else data.copy()
    wait(comm, comm.Ibcast(buffer, root=root))
    return value if sending else pickle.loads(buffer.tobytes())


def broadcast_array(comm: MPI.Intracomm, array: np.ndarray, root: int) -> np.ndarray:
    """``root``'s array on every rank; ``array`` has the same shape and dtype on all of them."""
    buffer = np.array(array, order="C")
    wait(comm, comm.Ibcast([buffer.reshape(-1).view(np.uint8), buffer.nbytes], root=root))
    return buffer


def sum_array(comm: MPI.Intracomm, array: np.ndarray) -> np.ndarray:
    """Sum over the ranks, bit for bit alike on all; ``array`` has the same shape on each."""
    mine = np.array(array, order="C")
    total = np.empty_like(mine)
    wait(comm, comm.Ireduce(mine, total if comm.rank == 0 else None, root=0))
    return broadcast_array(comm, total, 0)


def pass_on(comm: MPI.Intracomm, block: np.ndarray, to: int, into: np.ndarray, source: int) -> None:
    """Send ``block`` to one rank while ``into`` is filled by another."""
    requests = (
        comm.Irecv(into, source=source, tag=_BLOCK_TAG),
        comm.Isend(block, dest=to, tag=_BLOCK_TAG),
    )
    try:
        for request in requests:
            wait(comm, request)
    except BaseException:
        for request in requests:
            abandon(request, block, into)
        raise
