"""Where notebooks read journals; who finds nothing new waits until there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import journal, wire

_LONGEST_WAIT_S = 60.0
_LARGEST_PART_BYTES = 2**24

Outgoing = tuple[bytes, wire.Message]


@dataclass(frozen=True)
class _Parked:
    """A question that waits for an answer until ``until_s``."""

    peer: bytes
    question: wire.Read
    until_s: float


class Desk:
    """Answers ``Read``.

    What this recorder appends goes to those who wait for it as it is; files are read for all else.

    Args:
        runs: folder of the journals, of those too that somebody else writes.
        size_of: bytes of a journal that this recorder goes on to write; None for all others.
    """

    def __init__(self, runs: Path, size_of: Callable[[str], int | None]) -> None:
        self._runs = runs
        self._size_of = size_of
        self._parked: dict[str, list[_Parked]] = {}

    def read(self, peer: bytes, question: wire.Read, now_s: float) -> list[Outgoing]:
        """Answer, or let the reader wait."""
        wait_s = min(question.wait_ms / 1000, _LONGEST_WAIT_S)
        if wait_s <= 0:
            return [(peer, self._answer(question))]
        if self._size_of(question.run) != question.offset:
            answer = self._answer(question)
            if not isinstance(answer, wire.Part) or answer.data or answer.is_over:
                return [(peer, answer)]
        self._parked.setdefault(question.run, []).append(_Parked(peer, question, now_s + wait_s))
        return []

    def journal_grew(self, run: str, written: journal.Chunk) -> list[Outgoing]:
        """Answer all who wait for news of ``run``."""
        return [
            (one.peer, self._answer_with(written, one.question))
            for one in self._parked.pop(run, ())
        ]

    def tick(self, now_s: float) -> list[Outgoing]:
        """Answer those who have waited long enough, or whose journal somebody else has written."""
        answers: list[Outgoing] = []
        for run, waiting in list(self._parked.items()):
            size = self._size_of(run)
            if size is None:
                size = _size(journal.path_of(self._runs, run))
            served = [one for one in waiting if now_s >= one.until_s or one.question.offset < size]
            self._parked[run] = [one for one in waiting if one not in served]
            if not self._parked[run]:
                del self._parked[run]
            answers += [(one.peer, self._answer(one.question)) for one in served]
        return answers

    def _answer_with(self, written: journal.Chunk, question: wire.Read) -> wire.Message:
        goes_on = self._size_of(question.run) == written.size
        fits = len(written.data) <= min(question.limit_bytes, _LARGEST_PART_BYTES)
        if goes_on and fits and question.offset == written.offset:
            return wire.Part(question.request, *written, is_over=False)
        return self._answer(question)

    def _answer(self, question: wire.Read) -> wire.Message:
        try:
            path = journal.path_of(self._runs, question.run)
            limit = min(question.limit_bytes, _LARGEST_PART_BYTES)
            chunk = journal.read(path, question.offset, limit)
            is_over = chunk.is_last and journal.is_over(path)
        except JournalError as error:
            return wire.Refusal(str(error), question.request)
        return wire.Part(question.request, chunk.offset, chunk.data, chunk.size, is_over)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
