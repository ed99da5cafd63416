"""A search as plain text, for terminals and logs."""

from __future__ import annotations

import math

from interactive_dl.search import words
from interactive_dl.search.book import Book, Trial
from interactive_dl.search.ranges import Fixed, Value

_ROWS = 20
_COLUMNS = ("trial", "state", "steps", "seconds")


def line(book: Book, number: int) -> str:
    """What became of a trial that is over."""
    trial = book.trials[number]
    value = f"{_metric(book)} {_value(trial)}"
    told = f"trial {number:4d}  {trial.state:11s}  {value}  {_seconds(trial)} s  "
    return told + point(book, trial) + (f"  ({_first_line(trial.why)})" if trial.why else "")


def table(book: Book) -> str:
    """The best trials first, then a line that counts them all."""
    ranked = sorted(book.trials, key=lambda trial: _rank(book, trial))
    rows = [(*_COLUMNS, _metric(book), "parameters")]
    rows += [
        (
            str(trial.number),
            trial.state,
            str(max(trial.reports, default=0)),
            _seconds(trial),
            _value(trial),
            point(book, trial),
        )
        for trial in ranked[:_ROWS]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    left = len(ranked) - _ROWS
    if left > 0:
        lines.append(
            f"... and {left} more: idl.Search.attach({words.search_of(book.run)!r}).frame()"
        )
    return "\n".join([*lines, standing(book)])


def standing(book: Book) -> str:
    """How many trials are in which state, and the best."""
    counts = ", ".join(f"{count} {state}" for state, count in book.count_by_state.items() if count)
    if book.best is None:
        return counts or "no trials"
    return f"{counts}; best {_metric(book)} {_value(book.trials[book.best])} of trial {book.best}"


def point(book: Book, trial: Trial) -> str:
    """A trial's parameters, those that are the same for all left out."""
    fixed = {name for name, one in book.space.dimensions.items() if isinstance(one, Fixed)}
    shown = {name: value for name, value in trial.params.items() if name not in fixed}
    return " ".join(f"{name}={_short(value)}" for name, value in shown.items())


def _rank(book: Book, trial: Trial) -> tuple[bool, float, int]:
    """Finished ones first, by their value."""
    value = trial.value if trial.value is not None else trial.best
    if value is None:
        return (True, math.inf, trial.number)
    is_less = book.began is None or book.began.direction == "minimize"
    return (trial.state != "finished", value if is_less else -value, trial.number)


def _metric(book: Book) -> str:
    return "value" if book.began is None else book.began.metric


def _value(trial: Trial) -> str:
    value = trial.value if trial.is_over else trial.last
    return "-" if value is None else f"{value:.4g}"


def _seconds(trial: Trial) -> str:
    if not trial.attempts or trial.ended_s is None:
        return "-"
    return f"{trial.ended_s - trial.attempts[0].began_s:.1f}"


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
