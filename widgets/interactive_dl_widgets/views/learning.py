"""Learning curves of many trials in few colours, each trial in one that it keeps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.search.rungs import rungs as steps_of_rungs
from interactive_dl_widgets.views.curves import decimate
from interactive_dl_widgets.views.trials import last_step

if TYPE_CHECKING:
    from interactive_dl.search.book import Book, Trial

COLOURS = 10
MOST_CURVES = 60
_BESTS = 4
_POINTS = 200
"""At most about so many a curve: sixty of them share a plot."""


@dataclass(frozen=True)
class Strand:
    """The curves of one colour, one after another with a gap between; arrays of shape (points,).

    Attributes:
        x: steps.
        y: values; NaN in gaps.
        trial: whose.
    """

    x: np.ndarray
    y: np.ndarray
    trial: np.ndarray


class Colours:
    """Which trial has which colour: one that is shown keeps it while others come and go."""

    def __init__(self) -> None:
        self.by_trial: dict[int, int] = {}

    def share(self, numbers: Sequence[int]) -> None:
        """Give these trials a colour each, the least used first, and take it from others."""
        wanted = set(numbers)
        kept = {n: colour for n, colour in self.by_trial.items() if n in wanted}
        used = Counter(dict.fromkeys(range(COLOURS), 0))
        used.update(kept.values())
        for number in numbers:
            if number not in kept:
                colour = min(used, key=lambda one: (used[one], one))
                kept[number] = colour
                used[colour] += 1
        self.by_trial = kept


def shown(book: Book, selected: Sequence[int]) -> list[int]:
    """Whose curves are drawn: those selected, the latest where they are too many, with their
    promotions; without a selection the last ones that were the best, and those that run."""
    count = len(book.trials)
    if chosen := [number for number in selected if 0 <= number < count]:
        chosen = chosen[-MOST_CURVES:]
        return [*chosen, *_promotions(book, chosen)][-MOST_CURVES:]
    running = sorted(book.running)[-(MOST_CURVES - _BESTS) :]
    return [*reversed(list(book.bests)[-_BESTS:]), *running]


def strands(book: Book, colours: Colours, metric: str, *, log: bool = False) -> list[Strand]:
    """The curves of a metric of all trials that have a colour, colour by colour."""
    of_colour: list[list[int]] = [[] for _ in range(COLOURS)]
    for number, colour in colours.by_trial.items():
        of_colour[colour].append(number)
    return [_strand([book.trials[n] for n in numbers], metric, log) for numbers in of_colour]


def metric_names(book: Book, numbers: Iterable[int]) -> set[str]:
    """What these trials have reported last."""
    found: set[str] = set()
    for number in numbers:
        if told := list(book.trials[number].reports.values())[-1:]:
            found.update(told[0])
    return found


def rungs(book: Book, numbers: Iterable[int]) -> list[int]:
    """The steps at which successive halving judges, as far as these trials have come."""
    if book.began is None or book.began.pruner not in ("asha", "successive_halving"):
        return []
    furthest = max((last_step(book.trials[number]) for number in numbers), default=0)
    return steps_of_rungs(book.began.pruner, book.began.pruner_options, furthest)


def _promotions(book: Book, of: Sequence[int]) -> list[int]:
    parents = set(of)
    return [
        trial.number
        for trial in list(book.trials)
        if trial.origin == "promotion" and trial.parent in parents and trial.number not in parents
    ]


def _strand(trials: Sequence[Trial], metric: str, log: bool) -> Strand:
    parts = [_curve(trial, metric, log) for trial in trials]
    gap = np.array([[math.nan], [math.nan]])
    pieces, owners = [np.empty((2, 0))], [np.empty(0)]
    for trial, part in zip(trials, parts, strict=True):
        if part.shape[1]:
            pieces += [part, gap]
            owners.append(np.full(part.shape[1] + 1, float(trial.number)))
    x, y = np.concatenate(pieces, axis=1)
    return Strand(x, y, np.concatenate(owners))


def _curve(trial: Trial, metric: str, log: bool) -> np.ndarray:
    """Steps and values, shape (2, points)."""
    told = sorted((step, of.get(metric)) for step, of in list(trial.reports.items()))
    points = [(s, v) for s, v in told if v is not None and math.isfinite(v) and (v > 0 or not log)]
    x, y = np.array(points, float).reshape(-1, 2).T
    curve = decimate(x, y, _POINTS)
    return np.stack([curve.x, curve.y])
