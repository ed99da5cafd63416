"""Where notebooks read journals; who finds nothing new waits until there is."""

from __future__ import annotations

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

    Args:
        runs: folder of the journals, of those too that somebody else writes.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._parked: dict[str, list[_Parked]] = {}

    def read(self, peer: bytes, question: wire.Read, now_s: float) -> list[Outgoing]:
        """Answer, or let the reader wait."""
        answer = self._answer(question)
        wait_s = min(question.wait_ms / 1000, _LONGEST_WAIT_S)
        if wait_s > 0 and isinstance(answer, wire.Part) and not answer.data and not answer.is_over:
            waiting = self._parked.setdefault(question.run, [])
            waiting.append(_Parked(peer, question, now_s + wait_s))
            return []
        return [(peer, answer)]

    def journal_grew(self, run: str) -> list[Outgoing]:
        """Answer all who wait for news of ``run``."""
        return [(one.peer, self._answer(one.question)) for one in self._parked.pop(run, ())]

    def tick(self, now_s: float) -> list[Outgoing]:
        """Answer those who have waited long enough, or whose journal somebody else has written."""
        answers: list[Outgoing] = []
        for run, waiting in list(self._parked.items()):
            size = _size(journal.path_of(self._runs, run))
            served = [one for one in waiting if now_s >= one.until_s or one.question.offset < size]
            self._parked[run] = [one for one in waiting if one not in served]
            if not self._parked[run]:
                del self._parked[run]
            answers += [(one.peer, self._answer(one.question)) for one in served]
        return answers

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
