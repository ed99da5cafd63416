"""What is trained, and what is done about a larger batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interactive_dl import science
from interactive_dl.engine.schedules import Rule, scale_lr
from interactive_dl.science import cache as caching

FACTORS = (1, 2, 4, 8, 16)
"""Batches, in multiples of the base."""


@dataclass(frozen=True)
class Method:
    """What is done about a larger batch.

    Attributes:
        rule: how the learning rate follows the batch; None: it does not.
        has_warmup: whether it begins at the base's rate and gets there step by step.
    """

    rule: Rule | None
    has_warmup: bool = False


RULES = {
    "no scaling": Method(None),
    "linear": Method("linear"),
    "square root": Method("sqrt"),
    "linear, warm-up": Method("linear", has_warmup=True),
}
"""Of the plain optimizer."""

METHODS = {**RULES, "LARS": Method("sqrt", True), "LAMB": Method("sqrt", True)}
"""The rule of LAMB's authors (arXiv 1904.00962) for both: either moves a weight by a share of its
norm, whatever the length of the gradient, so that of a larger batch only less noise is left."""


@dataclass(frozen=True)
class Problem:
    """A case as the study trains it.

    Attributes:
        case: its name.
        config: its batch is the base's, its epochs are the most that a trial gets, its warm-up is
            that of the methods that have one.
        metric: of the validation, the larger the better.
        target: what it is to reach.
        plain: the optimizer that the rules of the learning rate are tried with.
        rates: at the base, by optimizer: of a ladder, one step below the highest with which it
            trains; ``--tune`` tries each beside its half and its double.
    """

    case: str
    config: Any
    metric: str
    target: float
    plain: str
    rates: Mapping[str, float]

    def rate(self, method: str, factor: int) -> float:
        """The learning rate of a method, at its full height."""
        rule = METHODS[method].rule
        base = self.rates[method if method in self.rates else self.plain]
        return base if rule is None else scale_lr(base, rule, factor)


def _config(case: str, **changes: Any) -> Any:
    """A case's laptop size as the study has it, with other numbers of its own."""
    laptop = science.case(case).config("laptop")
    return replace(laptop, dropout=0.0, warmup_epochs=1, epochs=16, **changes)


PROBLEMS = {
    "digits": Problem(
        case="digits",
        config=_config("digits", filters=16, batch_size=8),
        metric="val_accuracy",
        target=0.97,
        plain="SGD",
        rates={"SGD": 0.01, "LARS": 0.001, "LAMB": 0.005},
    ),
    "rpv": Problem(
        case="rpv",
        config=_config("rpv", train=3000, val=1500, test=0, batch_size=16),
        metric="val_auc",
        target=0.80,
        plain="Adam",
        rates={"Adam": 0.002, "LARS": 0.002, "LAMB": 0.002},
    ),
}
"""Without dropout, whose masks N ranks draw apart. The digits have SGD with momentum, of which the
linear rule speaks; RPV has Adam and scales it, as ``cori-intml-examples`` does."""


def prepare(problem: Problem, cache: Path | None = None) -> Path:
    """The folder of a problem's samples, which are generated where they are not there."""
    case = science.case(problem.case)
    return caching.prepare(case, problem.config, 0, cache or caching.default_folder())
