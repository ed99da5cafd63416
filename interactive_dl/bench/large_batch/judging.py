"""What came of the trials: epochs to the target, and where each method breaks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interactive_dl.bench.large_batch.problems import METHODS, PROBLEMS, RULES
from interactive_dl.bench.large_batch.trials import MULTIPLES, method_of

if TYPE_CHECKING:
    from interactive_dl.search.book import Book

PATIENCE = 2.0
"""A method breaks where it needs more than so many times the epochs of the base."""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        case, method, factor, seed: what was tried.
        times: multiple of the problem's rate.
        epochs: after which the target was reached; None: not within the problem's.
        best: value of the metric; None where there was none, as the loss was no number.
    """

    case: str
    method: str
    factor: int
    seed: int
    times: float
    epochs: int | None
    best: float | None

    @property
    def reached(self) -> float:
        """The epochs; infinity for never."""
        return math.inf if self.epochs is None else self.epochs


def outcomes(book: Book) -> list[Outcome]:
    """Of the trials of a study, or of a tuning, that have come to an end by themselves."""
    return [_outcome(t.params, t.judging) for t in book.trials if t.state == "finished"]


def _outcome(params: Mapping[str, Any], judging: Mapping[int, float]) -> Outcome:
    problem = PROBLEMS[str(params["case"])]
    there = [epoch for epoch, value in judging.items() if value >= problem.target]
    return Outcome(
        case=problem.case,
        method=method_of(params),
        factor=params["factor"],
        seed=params["seed"],
        times=params.get("times", 1.0),
        epochs=min(there, default=None),
        best=max(judging.values(), default=None),
    )


Key = tuple[str, int]


def medians(found: Iterable[Outcome]) -> dict[Key, float]:
    """Epochs to the target by method and factor, the median over the seeds; infinity for never.

    All rules have the base of the plain optimizer.
    """
    by_key: dict[Key, list[float]] = {}
    for one in found:
        for method in RULES if one.factor == 1 and one.method in RULES else [one.method]:
            by_key.setdefault((method, one.factor), []).append(one.reached)
    return {key: statistics.median_high(values) for key, values in by_key.items()}


def breaks(found: Iterable[Outcome]) -> dict[str, int | None]:
    """By method, the first batch with which it needs more than ``PATIENCE`` times the epochs of its
    base, in multiples of the base; None: it holds all along.
    """
    epochs = medians(found)

    def is_broken(method: str, factor: int) -> bool:
        needed = epochs[method, factor]
        return math.isinf(needed) or needed > PATIENCE * epochs[method, 1]

    return {
        method: next(
            (at for name, at in sorted(epochs) if name == method and is_broken(method, at)), None
        )
        for method in METHODS
        if (method, 1) in epochs
    }


def claims(found: Sequence[Outcome]) -> dict[str, bool]:
    """What the "at scale" deck says of large batches, and whether one case bears it out.

    A method goes further than another if it breaks at a larger batch; of two that break at the
    same, the one that needs fewer epochs at the largest.
    """
    epochs, broken = medians(found), breaks(found)
    largest = max(one.factor for one in found)

    def reach(method: str) -> tuple[float, float]:
        return (broken[method] or math.inf, -epochs[method, largest])

    return {
        "without scaling, large batches need more epochs": broken["no scaling"] is not None,
        "linear scaling goes further than none": reach("linear") > reach("no scaling"),
        "linear scaling breaks in the end": broken["linear"] is not None,
        "a warm-up takes it further": reach("linear, warm-up") > reach("linear"),
        "LARS goes further than that": reach("LARS") > reach("linear, warm-up"),
        "LAMB goes further than that": reach("LAMB") > reach("linear, warm-up"),
    }


def table(found: Sequence[Outcome]) -> str:
    """A Markdown table of one case: epochs to the target, a row for each method."""
    factors = sorted({one.factor for one in found})
    broken = breaks(found)
    problem = PROBLEMS[found[0].case]
    head = ["method", *(f"x{factor}" for factor in factors), "breaks at"]
    rows = [
        [
            method,
            *(_cell(_of(found, method, factor)) for factor in factors),
            "-" if at is None else f"x{at}",
        ]
        for method, at in broken.items()
    ]
    batches = ["batch", *(str(factor * problem.config.batch_size) for factor in factors), ""]
    return _markdown(head, [batches, *rows])


def _of(found: Iterable[Outcome], method: str, factor: int) -> list[Outcome]:
    names = RULES if factor == 1 and method in RULES else (method,)
    return [one for one in found if one.method in names and one.factor == factor]


def claims_table(found: Mapping[str, Sequence[Outcome]]) -> str:
    """A Markdown table of the claims, a column for each case."""
    by_case = {case: claims(some) for case, some in found.items()}
    rows = [
        [claim, *("yes" if held[claim] else "no" for held in by_case.values())]
        for claim in next(iter(by_case.values()))
    ]
    return _markdown(["claim", *by_case], rows)


def tuning_table(found: Sequence[Outcome]) -> str:
    """A Markdown table of one case at the base: epochs to the target by optimizer and rate."""
    problem = PROBLEMS[found[0].case]
    rows = []
    for name, rate in problem.rates.items():
        method = "no scaling" if name == problem.plain else name
        for times in MULTIPLES:
            some = [one for one in found if (one.method, one.times) == (method, times)]
            chosen = " (taken)" if times == 1 else ""
            rows.append([name, f"{rate * times:g}{chosen}", _cell(some)])
    return _markdown(["optimizer", "rate", "epochs"], rows)


def _cell(some: Sequence[Outcome]) -> str:
    """``4 (3 - 5)``: median and range of the epochs; where no seed got there, how far they came."""
    reached = sorted(one.reached for one in some)
    if not some:
        return ""
    if math.isinf(reached[0]):
        best = [one.best for one in some if one.best is not None]
        return f"never (at most {max(best):.2f})" if best else "never (no number)"
    low, middle, high = (
        _epochs(value) for value in (reached[0], statistics.median_high(reached), reached[-1])
    )
    return middle if low == high else f"{middle} ({low} - {high})"


def _epochs(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.0f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
