"""The rows of the table of trials; only those that have changed are made again."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from interactive_dl.search.events import Acted, ActionRefused
from interactive_dl_widgets.views.commands import number as short

if TYPE_CHECKING:
    from interactive_dl.search.book import Book, Trial
    from interactive_dl.search.events import Record

Kind = Literal["trial", "state", "steps", "number", "text", "time"]
_LONGEST = 200

Row = list[Any]
"""A cell for each column: numbers, texts, or None."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: by which it is sorted and filtered.
        title: what stands above it.
        kind: how its cells are shown and compared. ``state``: a state, and after a space what a
            person wants of the trial. ``time``: seconds; a running trial's go on.
    """

    name: str
    title: str
    kind: Kind


class TrialRows:
    """What of the table a page does not know yet.

    ``note`` may be called from any thread; everything else from one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: set[int] = set()
        self._book: Book | None = None

    def note(self, records: Iterable[Record]) -> None:
        """Trials that these records are about will be made again."""
        found = {number for record in records if (number := _trial_of(record)) is not None}
        with self._lock:
            self._noted |= found

    def changed(self, book: Book) -> list[int]:
        """Numbers of the trials that have changed since the last time, ascending."""
        count = len(book.trials)
        with self._lock:
            noted, self._noted = self._noted, set()
        if book is not self._book:
            self._book = book
            return list(range(count))
        return sorted(number for number in noted if number < count)


def columns(book: Book) -> tuple[Column, ...]:
    """The columns of a search's table; none before it has begun.

    ``value`` is what a trial is judged by, once it has ended; until then its best report.
    """
    if book.began is None:
        return ()
    metric = book.began.metric
    return (
        Column("trial", "#", "trial"),
        Column("state", "state", "state"),
        Column("step", "step", "steps"),
        Column("value", metric, "number"),
        Column("last", f"last {metric}", "number"),
        *(Column(name, name, _kind(dimension)) for name, dimension in _searched(book)),
        Column("engines", "engines", "text"),
        Column("time", "time", "time"),
        Column("about", "about", "text"),
    )


def row(book: Book, number: int, now_s: float) -> Row:
    """A trial's cells, in the order of ``columns``."""
    trial = book.trials[number]
    engines = trial.attempts[-1].engines if trial.attempts else ()
    return [
        trial.number,
        f"{trial.state} {trial.wish}".rstrip(),
        last_step(trial),
        finite(trial.best if trial.value is None else trial.value),
        finite(trial.last),
        *(_plain(trial.params.get(name)) for name, _ in _searched(book)),
        ", ".join(map(str, engines)),
        time_s(trial, now_s),
        about(trial),
    ]


def about(trial: Trial) -> str:
    """Where a trial comes from, what happened to it, and how it ended."""
    parent = f"of {trial.parent}" if trial.parent is not None else ""
    origin = {
        "sampler": "",
        "person": "by hand",
        "clone": f"clone {parent}",
        "promotion": f"promotion {parent}",
        "exploit": f"goes on from {trial.parent}",
    }[trial.origin]
    parts = [
        f"{origin}, warm" if trial.warm and trial.origin == "clone" else origin,
        f"priority {trial.priority}" if trial.priority and not trial.is_over else "",
        f"waits for {trial.paused_for}" if trial.paused_for is not None else "",
        f"learning rate {short(trial.learning_rate)}" if trial.learning_rate is not None else "",
        f"crashed {trial.crashes} ×" if trial.crashes else "",
        trial.why.strip().split("\n")[0][:_LONGEST],
    ]
    return " · ".join(filter(None, parts))


def last_step(trial: Trial) -> int:
    """The last step that a trial has reported; 0 before."""
    return max(list(trial.reports), default=0)


def time_s(trial: Trial, now_s: float) -> float | None:
    """Seconds since a trial first had engines, until it ended; None before."""
    if not trial.attempts:
        return None
    end_s = now_s if trial.ended_s is None else trial.ended_s
    return max(0.0, round(end_s - trial.attempts[0].began_s, 2))


def finite(value: float | None) -> float | None:
    """A number that JSON has; None for others."""
    return value if value is not None and math.isfinite(value) else None


def _searched(book: Book) -> Sequence[tuple[str, Any]]:
    """Parameters that were, or are, searched: those that were ever fixed are in the header."""
    assert book.began is not None
    began = book.began.space.dimensions
    return [
        (name, dimension)
        for name, dimension in book.space.dimensions.items()
        if _kind_of(dimension) != "fixed" or _kind_of(began[name]) != "fixed"
    ]


def _kind_of(dimension: object) -> str:
    return type(dimension).__name__.lower()


def _kind(dimension: object) -> Kind:
    return "text" if _kind_of(dimension) in ("choice", "fixed") else "number"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, bool) else value


def _trial_of(record: Record) -> int | None:
    event: Any = record.event
    about = event.action if isinstance(event, Acted | ActionRefused) else event
    return getattr(about, "trial", None)
