"""Decays of the learning rate in epochs, behind a warm-up: Keras schedules, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from interactive_dl.engine._warmup import WarmUp
from interactive_dl.engine.group import current

_schedules = keras.optimizers.schedules


def decay(
    peak: float,
    kind: str,
    *,
    steps_per_epoch: int,
    warmup_epochs: float = 0,
    warmup_start: float | None = None,
    **options: Any,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A schedule for any Keras optimizer, counted in epochs from the training's beginning.

    With ``e`` the fractional epoch, ``W`` the warm-up and ``f`` the factor of the peak:

        polynomial    f = end + (1 - end) (1 - (e - W) / (epochs - W)) ** power
        cosine        f = end + (1 - end) (1 + cos(pi (e - W) / (epochs - W))) / 2
        exponential   f = rate ** ((e - W) / every); ``staircase=True``: whole numbers only
        step          f = the latest of ``factors``: {epoch: factor of the peak}

    Sources: LARS uses the polynomial with power 2 (arXiv 1708.03888), CosmoFlow's benchmark steps
    {32: 0.25, 64: 0.125} of the peak, not of one another; the cosine is Loshchilov and Hutter's
    (arXiv 1608.03983) without restarts.

    Args:
        peak: the rate where the decay begins.
        kind: ``polynomial``, ``cosine``, ``exponential`` or ``step``.
        steps_per_epoch: updates in an epoch.
        warmup_epochs: a linear warm-up before.
        warmup_start: share of the peak to begin it with; by default 1 / ranks.
        options: ``epochs``, ``power`` (2), ``end`` (0); ``rate``, ``every`` (1), ``staircase``
            (False); ``factors``.

    Raises:
        ValueError: an unknown kind, or an option that it does not take or lacks.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, but got {kind!r}.")
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    try:
        after = _KINDS[kind](peak, warmup_steps, steps_per_epoch, **options)
    except TypeError as error:
        raise ValueError(f"The {kind} decay cannot be made: {error}") from error
    if not warmup_steps:
        return after
    start = 1 / current().size if warmup_start is None else warmup_start
    return WarmUp(after, warmup_steps, start)


def _polynomial(
    peak: float, before: int, per_epoch: int, *, epochs: float, power: float = 2.0, end: float = 0.0
) -> Any:
    steps = _steps_left(before, per_epoch, epochs)
    return _schedules.PolynomialDecay(peak, steps, end_learning_rate=end * peak, power=power)


def _cosine(peak: float, before: int, per_epoch: int, *, epochs: float, end: float = 0.0) -> Any:
    return _schedules.CosineDecay(peak, _steps_left(before, per_epoch, epochs), alpha=end)


def _exponential(
    peak: float,
    _before: int,
    per_epoch: int,
    *,
    rate: float,
    every: float = 1.0,
    staircase: bool = False,
) -> Any:
    steps = max(1, round(every * per_epoch))
    return _schedules.ExponentialDecay(peak, steps, rate, staircase=staircase)


def _step(peak: float, before: int, per_epoch: int, *, factors: Mapping[float, float]) -> Any:
    epochs = sorted(factors)
    # Keras gives the update at a boundary to what comes before it.
    boundaries = [round(epoch * per_epoch) - before - 1 for epoch in epochs]
    if not boundaries or boundaries[0] < 0:
        raise ValueError(f"The factors must begin after the warm-up, but got {dict(factors)}.")
    return _schedules.PiecewiseConstantDecay(
        boundaries, [peak, *(peak * factors[epoch] for epoch in epochs)]
    )


def _steps_left(before: int, per_epoch: int, epochs: float) -> int:
    steps = round(epochs * per_epoch) - before
    if steps < 1:
        raise ValueError(
            f"The decay must end after the warm-up, but got epochs={epochs} with"
            f" {before / per_epoch:g} of them for the warm-up."
        )
    return steps


_KINDS: dict[str, Callable[..., Any]] = {
    "polynomial": _polynomial,
    "cosine": _cosine,
    "exponential": _exponential,
    "step": _step,
}
