"""Processes that read batches for a training: no thread of its own, no lock, holds them up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Generator, Iterable
from itertools import cycle
from multiprocessing.connection import Connection

import cloudpickle  # type: ignore[import-untyped]
import numpy as np

from interactive_dl.data.reading import Batch, Failure, Reading, Slot
from interactive_dl.errors import DataError

_SLOTS = 2
# A reader is no rank: it must not take part in what started this process, nor take its GPU.
_LAUNCHERS = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "HYDRA_")


class Readers:
    """Some processes that read batches in turns, each one or two ahead.

    They are started at once, and end with this object, with ``end`` or with this process.

    Args:
        reading: how; its source and transform are pickled (by cloudpickle, so that those of a
            notebook will do) and each process opens files for itself.
        count: how many processes.
    """

    def __init__(self, reading: Reading, count: int) -> None:
        pickled = cloudpickle.dumps(reading)
        self._readers = [_Reader() for _ in range(count)]
        for reader in self._readers:
            reader.begin(pickled)

    def ahead(self, keys: Iterable[np.ndarray]) -> Generator[Batch, None, None]:
        """The batches of some samples each (int64), in their order.

        Raises:
            DataError: a reader has died.
            Exception: what reading a batch raised, where that is due.
        """
        due: deque[_Reader] = deque()
        for reader, key in zip(cycle(self._readers), keys, strict=False):
            if len(due) == _SLOTS * len(self._readers):
                yield due.popleft().receive()
            reader.ask(key)
            due.append(reader)
        while due:
            yield due.popleft().receive()

    def end(self) -> None:
        """End the processes; what they still read is lost."""
        for reader in self._readers:
            reader.end()


class _Reader:
    """One process, and what leads to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        slots = [os.memfd_create("idl-batch") for _ in range(_SLOTS)]
        with theirs:
            inherited = (theirs.fileno(), *slots)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "interactive_dl.data.reader", *map(str, inherited)],
                env=_environment(),
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        self._slots = deque(map(Slot, slots))
        self.end = weakref.finalize(self, _end, self._process, self._connection, slots)

    def begin(self, pickled: bytes) -> None:
        """Tell it how to read."""
        try:
            self._connection.send(sys.path)
            self._connection.send_bytes(pickled)
        except ConnectionError as error:
            raise self._death() from error

    def ask(self, indices: np.ndarray) -> None:
        """Have it read a batch, without waiting."""
        try:
            self._connection.send(indices)
        except ConnectionError as error:
            raise self._death() from error

    def receive(self) -> Batch:
        """The batch that was asked for first."""
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._death() from error
        if isinstance(answer, Failure):
            answer.error.add_note(f"In a reader process:\n{answer.text}")
            raise answer.error
        slot = self._slots[0]
        self._slots.rotate(-1)
        return slot.take(answer)

    def _death(self) -> DataError:
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return DataError(
            f"A reader process (pid {self._process.pid}) ended by {how}. SIGKILL is what Linux does"
            " where memory is short: use smaller batches, or fewer of them: .batch(n, readers=1)."
        )


def _end(process: subprocess.Popen[bytes], connection: Connection, slots: list[int]) -> None:
    process.kill()
    process.wait()
    connection.close()
    for slot in slots:
        os.close(slot)


def _environment() -> dict[str, str]:
    kept = {name: v for name, v in os.environ.items() if not name.startswith(_LAUNCHERS)}
    return kept | {"CUDA_VISIBLE_DEVICES": ""}
