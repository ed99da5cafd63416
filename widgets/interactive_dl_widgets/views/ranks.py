"""Where each rank's time goes, and who keeps the others waiting."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl_widgets.views.throughput import members

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History

PHASES = ("data_wait_s", "compute_s", "allreduce_wait_s", "other_s")
RECENT_REPORTS = 10
_CELLS = 6000
_MOMENTS = 120


@dataclass(frozen=True)
class HeatMap:
    """Ranks over time: one cell for each rank and moment, moment by moment.

    Attributes:
        step: middle of the cell, float, shape (cells,).
        width: of the cell, in steps.
        rank: float, shape (cells,).
        relative: the rank's own data and compute time over the median rank's, 1 = like the others.
        phases_ms: by phase, mean milliseconds per step, shape (cells,).
        hosts: by cell.
        ranks: how many rows the map has.
    """

    step: np.ndarray
    width: np.ndarray
    rank: np.ndarray
    relative: np.ndarray
    phases_ms: dict[str, np.ndarray]
    hosts: tuple[str, ...]
    ranks: int


@dataclass(frozen=True)
class PhaseBars:
    """Mean milliseconds per step by rank and phase, over the last reports; shape (ranks,)."""

    rank: np.ndarray
    phases_ms: dict[str, np.ndarray]
    hosts: tuple[str, ...]


def heat_map(history: History) -> HeatMap:
    """Who is slower than the others, and when.

    Step times say nothing of it: under synchronous training the slowest rank's is everybody's.
    """
    times = history.rank_times
    reports, ranks = np.asarray(times.compute_s).shape
    size = _bucket(reports, ranks)
    moments = -(-reports // size) if reports else 0
    phases = {name: _bucket_means(np.asarray(getattr(times, name)), size) for name in PHASES}
    own_s = phases["data_wait_s"] + phases["compute_s"]
    median = _quiet(np.nanmedian, own_s, axis=1, keepdims=True) if moments else own_s
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = own_s / median
    ends = np.asarray(times.step, float)[_last_of_bucket(reports, size)]
    begins = np.concatenate([[_first_step(times.step)], ends[:-1]]) if moments else ends
    lives = ~np.isnan(own_s).ravel()
    rank = np.tile(np.arange(ranks, dtype=float), moments)[lives]
    hosts = members(history)[1]
    return HeatMap(
        step=np.repeat((begins + ends) / 2, ranks)[lives],
        width=np.repeat(ends - begins, ranks)[lives],
        rank=rank,
        relative=relative.ravel()[lives],
        phases_ms={name: 1e3 * phase.ravel()[lives] for name, phase in phases.items()},
        hosts=tuple(hosts[int(one)] if one < len(hosts) else "" for one in rank),
        ranks=ranks,
    )


def phase_bars(history: History) -> PhaseBars:
    """Where the ranks' time went lately."""
    times = history.rank_times
    recent = {
        name: _quiet(np.nanmean, np.asarray(getattr(times, name))[-RECENT_REPORTS:], axis=0)
        if len(times.step)
        else np.empty(0)
        for name in PHASES
    }
    hosts = members(history)[1]
    lives = ~np.isnan(recent["compute_s"])
    # A rank that has left is not shown, though reports of it are still recent.
    if hosts:
        lives &= np.arange(len(lives)) < len(hosts)
    rank = np.flatnonzero(lives).astype(float)
    return PhaseBars(
        rank,
        {name: 1e3 * values[lives] for name, values in recent.items()},
        tuple(hosts[int(one)] if one < len(hosts) else "" for one in rank),
    )


def _bucket(reports: int, ranks: int) -> int:
    """So many reports make one cell: a power of two, so that cells do not move as reports come."""
    limit = max(1, min(_MOMENTS, _CELLS // max(1, ranks)))
    size = 1
    while reports > size * limit:
        size *= 2
    return size


def _last_of_bucket(reports: int, size: int) -> np.ndarray:
    return np.minimum(np.arange(size - 1, reports + size - 1, size), reports - 1)


def _bucket_means(values: np.ndarray, size: int) -> np.ndarray:
    """Means over buckets of ``size`` reports: (reports, ranks) -> (buckets, ranks)."""
    reports, ranks = values.shape
    padding = np.full((-reports % size, ranks), np.nan)
    buckets = np.concatenate([values, padding]).reshape(-(-reports // size), size, ranks)
    return _quiet(np.nanmean, buckets, axis=1)


def _first_step(steps: np.ndarray) -> float:
    """Where the first cell begins: one report before its first."""
    apart = steps[1] - steps[0] if len(steps) > 1 else 1
    return float(max(0, steps[0] - apart))


def _quiet(mean: object, *arguments: object, **options: object) -> np.ndarray:
    """Without NumPy's warning that a mean of nothing is NaN: here it means nobody was there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return mean(*arguments, **options)  # type: ignore[operator]
