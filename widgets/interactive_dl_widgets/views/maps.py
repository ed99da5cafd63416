"""What is seen of ranks: a map of cells over time, and bars; and how reports are put into cells."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from interactive_dl.telemetry.spread import PHASES

CELLS = 6000
RECENT_REPORTS = 10
_MOMENTS = 120


@dataclass(frozen=True)
class Slow:
    """A rank that lately takes longer than others.

    Attributes:
        rank, host: which one.
        relative: its own data and compute time over the median rank's.
    """

    rank: int
    host: str
    relative: float


@dataclass(frozen=True)
class HeatMap:
    """Rows over time: one cell for each row and moment, moment by moment.

    Attributes:
        step: middle of the cell, float, shape (cells,).
        width: of the cell, in steps.
        row: from above, float, shape (cells,).
        relative: own data and compute time over the median rank's, 1 = like the others.
        phases_ms: by phase, mean milliseconds per step, shape (cells,).
        who: by cell: the rank and its host, or what else the cell tells of.
        rows: how many rows the map has.
        names: of the rows; empty where each is a rank, in their order.
        slowest: ranks to be named, the slowest first; none where each rank has a row.
    """

    step: np.ndarray
    width: np.ndarray
    row: np.ndarray
    relative: np.ndarray
    phases_ms: dict[str, np.ndarray]
    who: tuple[str, ...]
    rows: int
    names: tuple[str, ...] = ()
    slowest: tuple[Slow, ...] = ()


@dataclass(frozen=True)
class PhaseBars:
    """Mean milliseconds per step by row and phase, over the last reports; shape (bars,).

    Attributes:
        row: from above, float.
        phases_ms: by phase.
        who: by bar: the rank and its host, or what else the bar tells of.
        rows: how many rows there are.
        names: of the rows; empty where each is a rank, in their order.
    """

    row: np.ndarray
    phases_ms: dict[str, np.ndarray]
    who: tuple[str, ...]
    rows: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moments:
    """Reports in stretches of equal length, which make the cells.

    Attributes:
        size: reports of a stretch: a power of two, so that cells do not move as reports come.
        step: middle of each stretch, shape (moments,).
        width: in steps.
    """

    size: int
    step: np.ndarray
    width: np.ndarray

    def __len__(self) -> int:
        return len(self.step)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over the stretches: (reports, rows) -> (moments, rows); NaN where nobody was."""
        reports, rows = values.shape
        padding = np.full((-reports % self.size, rows), np.nan)
        stretches = np.concatenate([values, padding]).reshape(len(self), self.size, rows)
        return quiet(np.nanmean, stretches, axis=1)


def moments(steps: np.ndarray, rows: int) -> Moments:
    """Stretches of the reports after ``steps``, as many as there is room for, with so many rows."""
    reports = len(steps)
    limit = max(1, min(_MOMENTS, CELLS // max(1, rows)))
    size = 1
    while reports > size * limit:
        size *= 2
    last = np.minimum(np.arange(size - 1, reports + size - 1, size), reports - 1)
    ends = np.asarray(steps, float)[last]
    begins = np.concatenate([[_first_step(steps)], ends[:-1]]) if reports else ends
    return Moments(size, (begins + ends) / 2, ends - begins)


def milliseconds(phases_s: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Seconds by phase as milliseconds."""
    return {name: 1e3 * phases_s[name] for name in PHASES}


def rank_on_host(rank: float, hosts: tuple[str, ...]) -> str:
    """A rank as people are told of it."""
    at = int(rank)
    return f"rank {at} on {hosts[at]}" if at < len(hosts) else f"rank {at}"


def quiet(mean: object, *arguments: object, **options: object) -> np.ndarray:
    """Without NumPy's warning that a mean of nothing is NaN: here it means nobody was there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return mean(*arguments, **options)  # type: ignore[operator]


def _first_step(steps: np.ndarray) -> float:
    """Where the first cell begins: one report before its first."""
    apart = steps[1] - steps[0] if len(steps) > 1 else 1
    return float(max(0, steps[0] - apart))
