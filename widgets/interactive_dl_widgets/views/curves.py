"""Curves with a bounded number of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History

POINTS = 1000
"""At most about so many per curve; a plot is some 500 pixels wide."""
VALIDATION = "val_"


@dataclass(frozen=True)
class Curve:
    """Points of a curve: two float arrays of shape (points,)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class MetricCurves:
    """All that is drawn of one metric, over steps.

    Attributes:
        reported: as the ranks told it, running means of an epoch.
        smooth: means over the last reports.
        validation: at the end of each epoch.
        evaluated: validations that somebody asked for.
    """

    reported: Curve
    smooth: Curve
    validation: Curve
    evaluated: Curve


def metric_names(history: History) -> tuple[str, ...]:
    """What can be drawn: the loss first, validation metrics under the name they validate."""
    names = {name.removeprefix(VALIDATION) for name in history.metrics}
    return tuple(sorted(names, key=lambda name: (name != "loss", name)))


def metric_curves(
    history: History, metric: str, *, over_reports: int = 1, log: bool = False, limit: int = POINTS
) -> MetricCurves:
    """Curves of a metric.

    Args:
        history: of the run.
        metric: its name, without ``val_``.
        over_reports: how many reports the smooth curve's means are over.
        log: whether the axis is logarithmic, which has no place for what is not positive.
        limit: about how many points a curve may have.
    """

    def curve(x: np.ndarray, y: np.ndarray) -> Curve:
        return decimate(x, np.where(y > 0, y, np.nan) if log else y, limit)

    steps = history.progress["step"]
    reported = _column(history.progress, metric)
    smooth = trailing_mean(reported, over_reports)
    epochs = history.epochs
    evaluated = [
        (one.step, value)
        for one in history.evaluations
        if (value := one.metrics.get(VALIDATION + metric, one.metrics.get(metric))) is not None
    ]
    asked = np.array(evaluated, float).reshape(-1, 2)
    return MetricCurves(
        curve(steps, reported),
        curve(steps, smooth),
        curve(epochs["step"], _column(epochs, VALIDATION + metric)),
        curve(asked[:, 0], asked[:, 1]),
    )


def trailing_mean(values: np.ndarray, count: int) -> np.ndarray:
    """At each place the mean over the last ``count`` values, NaN left out."""
    if count <= 1 or len(values) == 0:
        return values
    known = ~np.isnan(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - count, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums[ends] - sums[begins]) / (counts[ends] - counts[begins])


def decimate(x: np.ndarray, y: np.ndarray, limit: int) -> Curve:
    """Leave points out until about ``limit`` are left; extremes and the last point stay.

    The points are put into buckets of a power of two each, of which the least and the greatest
    remain. So buckets do not move while points arrive, and a browser keeps what it has.

    Args:
        x: ascending, shape (points,).
        y: of the same shape; NaN is no point.
        limit: how many points may remain, besides the last.
    """
    is_point = ~np.isnan(y)
    x, y = np.asarray(x, float)[is_point], np.asarray(y, float)[is_point]
    if len(x) <= limit:
        return Curve(x, y)
    size = 2
    while 2 * -(-len(x) // size) > limit:
        size *= 2
    padding = -len(y) % size
    buckets = np.concatenate([y, np.full(padding, y[-1])]).reshape(-1, size)
    begins = np.arange(len(buckets)) * size
    extremes = np.stack([begins + buckets.argmin(1), begins + buckets.argmax(1)])
    chosen = np.append(np.sort(extremes, axis=0).T.ravel(), len(x) - 1)
    chosen = np.unique(np.minimum(chosen, len(x) - 1))
    return Curve(x[chosen], y[chosen])


def _column(columns: object, name: str) -> np.ndarray:
    """A metric's column; NaN where nobody has told it yet."""
    if name in columns:  # type: ignore[operator]
        return columns[name]  # type: ignore[index]
    return np.full(len(columns["step"]), np.nan)  # type: ignore[index]
