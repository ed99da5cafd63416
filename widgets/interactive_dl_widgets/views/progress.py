"""How far a search is, and what it has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.search.ranges import Fixed
from interactive_dl_widgets.views.trials import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interactive_dl.search.book import Book, State
    from interactive_dl.search.ranges import Value
    from interactive_dl_widgets.views.ended import Ended

STATES: tuple[State, ...] = (
    "running",
    "queued",
    "paused",
    "finished",
    "pruned",
    "stopped",
    "failed",
    "quarantined",
)
_LIVE = STATES[:3]


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes:
        state: ``running``, ``finished`` ...
        reason: why, where that needs words.
        is_over: whether it has ended.
        counts: trials by state, those that there are, in the order of ``STATES``.
        trials: how many there are to be; None for no end.
        done: share of them that is over, or of the time budget if that is spent sooner; None
            where neither has an end.
        elapsed_s: since it began, until its last trial ended where it has ended; with a budget only
            the time that it was worked on.
        budget_s: how long it may go on; None for no end.
        engines: how many have a trial.
        metric: that trials are judged by, and which values of it are better.
        best, best_value, best_params: the best finished trial, with those of its parameters that
            are not fixed; None before the first.
        method: sampler and pruner.
        fixed: parameters that are not searched.
    """

    state: str
    reason: str
    is_over: bool
    counts: tuple[tuple[str, int], ...]
    trials: int | None
    done: float | None
    elapsed_s: float
    budget_s: float | None
    engines: int
    metric: str
    best: int | None
    best_value: float | None
    best_params: tuple[tuple[str, Value], ...]
    method: str
    fixed: tuple[tuple[str, Value], ...]


def progress(book: Book, state: str, now_s: float) -> SearchProgress:
    """How far the search is, by its book."""
    counts = tuple((name, n) for name in STATES if (n := book.count_by_state.get(name, 0)))
    over = sum(n for name, n in counts if name not in _LIVE)
    began, limits = book.began, book.limits
    added = len(book.trials) - book.sampled
    planned = None if limits.trials is None else max(limits.trials + added, len(book.trials))
    is_limited = limits.time_budget_s is not None
    elapsed_s = book.worked_s(now_s) if is_limited else _elapsed_s(book, now_s)
    best = None if book.best is None else book.trials[book.best]
    fixed = [(n, d.value) for n, d in book.space.dimensions.items() if isinstance(d, Fixed)]
    searched = [one for one in best.params.items() if one not in fixed] if best else []
    return SearchProgress(
        state=state,
        reason=book.ended.reason if book.ended else _why_waiting(book, state),
        is_over=book.ended is not None,
        counts=counts,
        trials=planned,
        done=_done(over, planned, elapsed_s, limits.time_budget_s),
        elapsed_s=elapsed_s,
        budget_s=limits.time_budget_s,
        engines=sum(len(engines) for engines in list(book.running.values())),
        metric=f"{began.metric}, {began.direction}d" if began else "",
        best=book.best,
        best_value=finite(best.value) if best else None,
        best_params=tuple(searched),
        method=f"{began.sampler}, {began.pruner}" if began else "",
        fixed=tuple(fixed),
    )


@dataclass(frozen=True)
class BestSoFar:
    """The best value over time: a staircase; arrays of shape (corners,).

    Attributes:
        time_s: since the search began.
        value: the best until then.
        trial: whose.
    """

    time_s: np.ndarray
    value: np.ndarray
    trial: np.ndarray


def best_so_far(book: Book, until_s: float) -> BestSoFar:
    """Every trial that was the best in turn, and the last one until ``until_s``."""
    bests = [book.trials[number] for number in list(book.bests)]
    times = [(trial.ended_s or book.began_s) - book.began_s for trial in bests]
    values = [trial.value for trial in bests]
    numbers = [trial.number for trial in bests]
    if bests:
        times.append(max(until_s, times[-1]))
        values.append(values[-1])
        numbers.append(numbers[-1])
    return BestSoFar(*(np.asarray(one, float) for one in (times, values, numbers)))


def time_unit(seconds: float) -> tuple[str, float]:
    """What so long a time is best counted in: a name, and its seconds."""
    if seconds < 300:
        return "s", 1.0
    return ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)


def best_within(ended: Ended, most: int) -> Sequence[int]:
    """The best ended trials, the best first."""
    order = np.argsort(-ended.goodness, kind="stable")[:most]
    return [ended.number[at] for at in order]


def _elapsed_s(book: Book, now_s: float) -> float:
    if book.began is None:
        return 0.0
    if book.ended is None:
        return max(0.0, now_s - book.began_s)
    last = max((one.ended_s for one in list(book.trials) if one.ended_s), default=book.began_s)
    return last - book.began_s


def _done(over: int, planned: int | None, elapsed_s: float, budget_s: float | None) -> float | None:
    shares = [over / planned if planned else None, elapsed_s / budget_s if budget_s else None]
    known = [min(1.0, share) for share in shares if share is not None]
    return max(known, default=None)


def _why_waiting(book: Book, state: str) -> str:
    if state == "not started":
        return "search.start(cluster, trials=...) starts it"
    if state == "abandoned":
        return "no process runs it any more; search.resume(cluster) goes on"
    if book.is_stopping:
        return "is being stopped"
    if book.is_lost:
        return "nobody has heard of its driver for a while; trials that run go on"
    return "the sampler has no further points" if book.is_exhausted else ""
