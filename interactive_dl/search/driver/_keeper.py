"""The search's journal, its book and its study, kept in step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from interactive_dl.search import events, words
from interactive_dl.search.book import Book
from interactive_dl.search.study import Point, Study, Verdict
from interactive_dl.telemetry import journal


class Keeper:
    """Writes what happens; ``book`` has it at once.

    Args:
        search: id of the search.
        path: of its journal.
        wall_s: seconds since the epoch.

    Raises:
        JournalError: it cannot be read or written, or another process writes it.
        TransitionError: it is no search's.

    Attributes:
        search: id of the search.
        book: all that happened.
        written_s: when the last event was added; at first, when this began.
    """

    def __init__(self, search: str, path: Path, wall_s: Callable[[], float] = time.time) -> None:
        self.search = search
        self._run = words.journal_of(search)
        self._wall_s = wall_s
        self._writer = journal.Writer.open(path, self._run)
        self.book = Book.of(events.records(path))
        self.written_s = wall_s()
        self._study: Study | None = None

    def write(self, event: events.AnySearchEvent) -> None:
        """Add an event.

        Raises:
            TransitionError: it cannot follow; nothing has changed.
            JournalError: it cannot be written; the book is ahead of the journal: end.
        """
        seq = self.book.next_seq.get(events.DRIVER, 0)
        time_s = self._wall_s()
        record = events.Record(self._run, events.DRIVER, seq, time_s, event)
        self.book.add(record)
        self._writer.append([events.encode(record)])
        self.written_s = time_s
        if self._study is not None:
            self._follow(self._study, event)

    def ask(self) -> Point | None:
        """The sampler's next point; None where there are no further ones."""
        return self._current_study().ask()

    def judge(self, trial: int, step: int, value: float | None) -> Verdict:
        """Whether a running trial is hopeless."""
        return self._current_study().judge(trial, step, value)

    def close(self) -> None:
        """Let go of the journal."""
        self._writer.close()

    def _follow(self, study: Study, event: events.AnySearchEvent) -> None:
        match event:
            case events.TrialCreated():
                study.created(self.book.trials[-1])
            case events.TrialEnded(trial=number):
                study.ended(self.book.trials[number])

    def _current_study(self) -> Study:
        if self._study is None or not self._study.is_of(self.book):
            self._study = Study.of(self.book)
        return self._study
