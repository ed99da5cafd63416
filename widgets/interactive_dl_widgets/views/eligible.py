"""Which of the selected trials can be stopped, paused ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interactive_dl.search.book import LIVE

if TYPE_CHECKING:
    from interactive_dl.search.book import Book, Trial

_STATES: dict[str, frozenset[str]] = {
    "stop": LIVE,
    "pause": frozenset({"queued", "running"}),
    "resume": frozenset({"paused"}),
    "priority": LIVE,
    "rate": frozenset({"running"}),
}


def eligible(book: Book, what: str, numbers: Sequence[int]) -> list[int]:
    """Those of the trials with which this can be done now.

    Args:
        book: of the search.
        what: ``stop``, ``pause``, ``resume``, ``restart``, ``priority`` or ``rate``.
        numbers: of trials; those that there are not are left out.
    """
    trials = (book.trials[number] for number in numbers if 0 <= number < len(book.trials))
    return [trial.number for trial in trials if _can(trial, what)]


def promotions(book: Book) -> list[int]:
    """Promotions that run or wait."""
    live = [trial for trial in list(book.trials) if trial.origin == "promotion"]
    return [trial.number for trial in live if not trial.is_over and trial.wish != "stop"]


def _can(trial: Trial, what: str) -> bool:
    if what == "restart":
        return True
    return trial.state in _STATES[what] and trial.wish not in ("stop", what)
