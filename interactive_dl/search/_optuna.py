"""How a space and its values look to Optuna."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from interactive_dl.search.ranges import (
    AnyDimension,
    Choice,
    Fixed,
    Integer,
    LogInteger,
    LogUniform,
    Uniform,
)

# It tells every study that is made, and a study is made whenever a search is attached to.
optuna.logging.set_verbosity(optuna.logging.WARNING)


def distribution(dimension: AnyDimension) -> BaseDistribution | None:
    """A range as Optuna knows it; None for a fixed value, which Optuna need not know."""
    match dimension:
        case Uniform(low=low, high=high):
            return FloatDistribution(low, high)
        case LogUniform(low=low, high=high):
            return FloatDistribution(low, high, log=True)
        case Integer(low=low, high=high, step=step):
            return IntDistribution(low, high, step=step)
        case LogInteger(low=low, high=high):
            return IntDistribution(low, high, log=True)
        case Choice(options=options):
            return CategoricalDistribution(options)
        case Fixed():
            return None


def distributions(dimensions: dict[str, AnyDimension]) -> dict[str, BaseDistribution]:
    """Those of the ranges that Optuna need know."""
    found = {name: distribution(dimension) for name, dimension in dimensions.items()}
    return {name: made for name, made in found.items() if made is not None}


def suggest(trial: optuna.Trial, name: str, dimension: AnyDimension) -> Any:
    """Let Optuna choose a value."""
    match dimension:
        case Uniform(low=low, high=high):
            return trial.suggest_float(name, low, high)
        case LogUniform(low=low, high=high):
            return trial.suggest_float(name, low, high, log=True)
        case Integer(low=low, high=high, step=step):
            return trial.suggest_int(name, low, high, step=step)
        case LogInteger(low=low, high=high):
            return trial.suggest_int(name, low, high, log=True)
        case Choice(options=options):
            return trial.suggest_categorical(name, options)
        case Fixed(value=value):
            return value
