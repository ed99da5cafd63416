"""Who ends hopeless trials, by name; Optuna's, made so that a rebuilt study judges alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from interactive_dl.errors import SearchError
from interactive_dl.search._names import check_options, look_up
from interactive_dl.search.rungs import rungs

__all__ = ["PRUNERS", "make", "rungs"]


def make(name: str, options: Mapping[str, Any]) -> BasePruner:
    """A pruner.

    Raises:
        UnknownNameError: there is no such pruner, or it has no such option.
        SearchError: options that make no sense.
    """
    build = look_up("pruner", name, PRUNERS)
    check_options("pruner", name, build, options)
    try:
        return build(**options)
    except ValueError as error:
        raise SearchError(f"The pruner {name!r} refuses {dict(options)}: {error}") from error


def _none() -> BasePruner:
    return NopPruner()


def _median(*, startup: int = 5, warmup_steps: int = 0, interval_steps: int = 1) -> BasePruner:
    return MedianPruner(startup, warmup_steps, interval_steps)


def _percentile(
    *, percentile: float = 25.0, startup: int = 5, warmup_steps: int = 0, interval_steps: int = 1
) -> BasePruner:
    return PercentilePruner(percentile, startup, warmup_steps, interval_steps)


def _asha(*, min_steps: int = 1, reduction: int = 3, bootstrap: int = 0) -> BasePruner:
    # Optuna's min_resource="auto" would depend on which trial happened to finish first.
    return SuccessiveHalvingPruner(
        min_resource=min_steps, reduction_factor=reduction, bootstrap_count=bootstrap
    )


def _hyperband(
    *, max_steps: int | None = None, min_steps: int = 1, reduction: int = 3
) -> BasePruner:
    if max_steps is None:
        raise ValueError("it needs max_steps=, what a trial reports at most.")
    return HyperbandPruner(min_steps, max_steps, reduction)


def _population(*, every: int = 1, fraction: float = 0.25) -> BasePruner:
    """Population-based training: ``population`` decides, not Optuna."""
    if every < 1 or not 0 < fraction <= 0.5:
        raise ValueError(
            f"`every >= 1` and `0 < fraction <= 0.5` must hold, but got {every} and {fraction}."
        )
    return NopPruner()


PRUNERS = {
    "none": _none,
    "median": _median,
    "percentile": _percentile,
    "asha": _asha,
    "successive_halving": _asha,
    "hyperband": _hyperband,
    "population": _population,
}
