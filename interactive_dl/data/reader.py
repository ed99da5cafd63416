"""The program of a reader: a process beside the training that reads batches.

    python -m interactive_dl.data.reader SOCKET SLOT SLOT

It hears which samples to read, puts their arrays into its slots by turns, and says how they lie
there. It ends when the training does.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from interactive_dl.data.reading import Failure, Lying, Reading, Slot
from interactive_dl.errors import DataError


def main() -> None:
    """Read until the training ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for who trains
    socket, *slots = map(int, sys.argv[1:])
    threading.Thread(target=_end_with, args=(socket,), daemon=True).start()
    _leave_the_core()
    with suppress(EOFError, ConnectionError):
        _serve(Connection(socket), [Slot(slot) for slot in slots])


def _serve(training: Connection, slots: list[Slot]) -> None:
    sys.path[:] = training.recv()
    reading: Reading | None = None
    pickled = training.recv_bytes()
    while True:
        for slot in slots:
            indices = training.recv()
            answer: list[Lying] | Failure
            try:
                reading = reading or pickle.loads(pickled)
                answer = slot.put(tuple(map(np.asarray, reading(indices))))
            except Exception as error:  # noqa: BLE001 - it is raised where the batch is due
                answer = _as_failure(error)
            training.send(answer)


def _as_failure(error: Exception) -> Failure:
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - what an exception's own methods raise
        error = DataError(f"{type(error).__name__}: {error}")
    return Failure(error, text)


def _leave_the_core() -> None:
    """Run on any core that the job has: the training may be pinned to one, and needs it."""
    cores = os.cpu_count() or 1
    with suppress(OSError):
        os.sched_setaffinity(0, range(cores))


def _end_with(socket: int) -> None:
    """End when the training's end of the socket is closed, also within a long read."""
    poll = select.poll()
    poll.register(socket, 0)  # says that the other end is gone, whatever was asked
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
