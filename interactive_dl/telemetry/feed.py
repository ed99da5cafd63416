"""Where a notebook reads a run from: its journal's bytes from an offset on, and waits for more.

The bytes are the same from a file and from the recorder, so that a reader may change over.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from interactive_dl.errors import (
    CommandRefusedError,
    JournalError,
    RecorderUnreachableError,
)
from interactive_dl.telemetry import _address, journal, wire
from interactive_dl.telemetry._line import Line, Wake, hello
from interactive_dl.telemetry.journal import Chunk
from interactive_dl.telemetry.steering import Sent

_ANSWER_S = 2.0
_LATE_S = 0.5
_POLL_S = 0.05


class Piece(NamedTuple):
    """What a feed gives.

    Attributes:
        chunk: whole lines of the journal; there may be none.
        is_over: whether the run has ended and nothing comes after this.
    """

    chunk: Chunk
    is_over: bool


class Feed(Protocol):
    """One run's journal for one thread; only ``interrupt`` may be called from others."""

    def read(self, offset: int, wait_s: float) -> Piece | None:
        """What the journal has from ``offset`` on, waiting up to ``wait_s`` for the first line.

        Returns:
            None where it cannot be told now: interrupted, or the recorder is away.

        Raises:
            TelemetryError: it never can: there is no such journal, or it cannot be read.
        """

    def interrupt(self) -> None:
        """End a ``read`` that waits, and all later ones."""

    def close(self) -> None:
        """Let go; may be called again."""


class FileFeed:
    """Follows a journal in a file, whoever writes it.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._wake = Wake()
        self._over_at = (-1, False)

    def read(self, offset: int, wait_s: float) -> Piece | None:
        """Look again every now and then until there is something."""
        deadline_s = time.monotonic() + wait_s
        while True:
            chunk = journal.read(self.path, offset)
            is_over = chunk.is_last and self._is_over(chunk.size)
            left_s = deadline_s - time.monotonic()
            if chunk.data or is_over or left_s <= 0:
                return Piece(chunk, is_over)
            if self._wake.wait(min(left_s, _POLL_S)):
                return None

    def interrupt(self) -> None:
        """End a ``read`` that waits, and all later ones."""
        self._wake.set()

    def close(self) -> None:
        """Let go; may be called again."""
        self._wake.close()

    def _is_over(self, size: int) -> bool:
        """Looked up once for each size of the journal."""
        if self._over_at[0] != size:
            self._over_at = (size, journal.is_over(self.path))
        return self._over_at[1]


class RecorderFeed:
    """Follows a journal through the cluster's recorder, which answers when there is news.

    Args:
        address: of the recorder.
        run: id of the run.
        path: of the journal, where this machine has it, too: what has long been told is read
            there, which is faster, and leaves the recorder to the engines.

    Raises:
        RecorderUnreachableError: it does not answer.
        RecorderRefusedError: it speaks another version.
    """

    def __init__(self, address: _address.Address, run: str, path: Path | None = None) -> None:
        self._run = run
        self._past = path
        self._requests = itertools.count(1)
        self._ahead: wire.Read | None = None
        self._line = Line(address)
        try:
            self._line.greet(hello(), _ANSWER_S)
        except BaseException:
            self._line.close()
            raise
        self._wake = Wake()

    def read(self, offset: int, wait_s: float) -> Piece | None:
        """Ask the recorder, which lets the question wait."""
        if self._past is not None:
            chunk = journal.read(self._past, offset)
            if not chunk.is_last:
                return Piece(chunk, False)
            self._past = None
        question, self._ahead = self._ahead, None
        if question is None or question.offset != offset:
            question = self._question(offset, wait_s)
            if not self._line.send(question):
                return None
        answer = self._await(question.request, wait_s + _LATE_S)
        if isinstance(answer, wire.Refusal):
            raise JournalError(answer.reason)
        if not isinstance(answer, wire.Part):
            return None
        chunk = Chunk(answer.offset, answer.data, answer.size)
        if not chunk.is_last:
            # While the caller reads this part the recorder prepares the next.
            ahead = self._question(chunk.next_offset, wait_s)
            self._ahead = ahead if self._line.send(ahead) else None
        return Piece(chunk, answer.is_over)

    def interrupt(self) -> None:
        """End a ``read`` that waits, and all later ones."""
        self._wake.set()

    def close(self) -> None:
        """Let go; may be called again."""
        self._line.close()
        self._wake.close()

    def _question(self, offset: int, wait_s: float) -> wire.Read:
        return wire.Read(
            next(self._requests), self._run, offset, round(1000 * wait_s), journal.LIMIT_BYTES
        )

    def _await(self, request: int, timeout_s: float) -> wire.FromRecorder | None:
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0 and not self._wake.is_set:
            answer = self._line.receive()
            if answer is None:
                self._line.wait(left_s, self._wake)
            elif getattr(answer, "request", 0) == request:
                return answer
        return None


class FileSource:
    """A journal in a file, which can be read but not answered.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def feed(self) -> Feed:
        """Begin to follow it.

        Raises:
            JournalError: it is none.
        """
        journal.header(self._path)
        return FileFeed(self._path)

    def send(self, sent: Sent, timeout_s: float) -> None:
        """Refuse.

        Raises:
            CommandRefusedError: always.
        """
        raise CommandRefusedError(
            f"A run is steered through its cluster's recorder, but {self._path} is read as a file."
            " For a cluster's run, type: cluster.runs[...]; a script takes no commands."
        )


class ClusterSource:
    """A run of a cluster: through the recorder while there is one, afterwards from the file.

    Args:
        cluster: the cluster's folder.
        runs: folder of the journals, as the recorder sees it.
        run: id of the run.
        waits: whether to wait for a recorder that is away, rather than look at the file now and
            then.
    """

    def __init__(self, cluster: Path, runs: Path, run: str, *, waits: bool = False) -> None:
        self._cluster = cluster
        self._waits = waits
        self._run = run
        self._path = journal.path_of(runs, run)

    def feed(self) -> Feed:
        """Begin to follow it, wherever it can be read.

        Raises:
            TelemetryError: there is neither a recorder nor a file.
        """
        try:
            has_file = self._path.exists()
            address = _address.read(self._cluster)
            return RecorderFeed(address, self._run, self._path if has_file else None)
        except RecorderUnreachableError:
            if self._path.exists() and not self._waits:
                return FileFeed(self._path)
            raise

    def send(self, sent: Sent, timeout_s: float) -> None:
        """Have the recorder pass a command on.

        Raises:
            CommandRefusedError: it does not, and why.
            RecorderUnreachableError: it does not answer.
        """
        address = _address.read(self._cluster)
        answer = ask(address, wire.Send(1, self._run, sent), timeout_s)
        if isinstance(answer, wire.Refusal):
            raise CommandRefusedError(answer.reason)


Source = FileSource | ClusterSource


def ask(address: _address.Address, question: wire.Message, timeout_s: float) -> wire.FromRecorder:
    """Call the recorder for one answer.

    Raises:
        RecorderUnreachableError: there is none in time.
        RecorderRefusedError: it speaks another version.
    """
    line = Line(address)
    try:
        line.greet(hello(), timeout_s)
        return line.ask(question, timeout_s)
    finally:
        line.close()
