"""Where the time of very many ranks goes: the slowest at each moment, and the quantiles of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.telemetry.spread import PHASES, QUANTILES, WORST
from interactive_dl_widgets.views.maps import (
    RECENT_REPORTS,
    HeatMap,
    PhaseBars,
    Slow,
    milliseconds,
    moments,
    rank_on_host,
)
from interactive_dl_widgets.views.throughput import members

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History, TimeSpread

_MEDIAN = QUANTILES.index(0.5)
_SHOWN = tuple(range(len(QUANTILES) - 2, -1, -1))  # the slowest of all has a row of its own
_PLACES = ("slowest", "2nd", "3rd", *(f"{place}th" for place in range(4, WORST + 1)))
_WORDS = {0.0: ("fastest", "the fastest"), 0.5: ("median", "half"), 1.0: ("slowest", "all")}
_NAMED_FROM, _NAMED = 1.1, 3
_ARRAYS = ("step", "time_s", "ranks", "own_s", *PHASES, "worst")


@dataclass(frozen=True)
class _Stragglers:
    """The slowest ranks of each moment; arrays of shape (cells,), by moment and place.

    Attributes:
        moment, place, rank: which cell, and whose it is.
        relative: own time over the median rank's.
        phases_s: by phase, means over the reports that tell of the rank.
    """

    moment: np.ndarray
    place: np.ndarray
    rank: np.ndarray
    relative: np.ndarray
    phases_s: dict[str, np.ndarray]


def heat_map(history: History) -> HeatMap:
    """A row for each place among the slowest, then one for each quantile.

    Who is slowest changes from report to report; a cell is of the rank that has lost the others the
    most time in it.
    """
    told = history.time_spread
    rows = WORST + len(_SHOWN)
    over = moments(told.step, rows)
    slow = _stragglers(told, over.size)
    shown = {name: over.means(getattr(told, name)[:, _SHOWN]).ravel() for name in PHASES}
    own_s = over.means(told.own_s)
    relative = _ratio(own_s[:, _SHOWN], own_s[:, _MEDIAN, None]).ravel()
    moment = np.concatenate([slow.moment, np.repeat(np.arange(len(over)), len(_SHOWN))])
    row = np.concatenate([slow.place, np.tile(WORST + np.arange(len(_SHOWN)), len(over))])
    order = np.lexsort((row, moment))
    phases = {name: np.concatenate([slow.phases_s[name], shown[name]])[order] for name in PHASES}
    hosts = members(history)[1]
    who = [rank_on_host(rank, hosts) for rank in slow.rank]
    who += [_quantile(level, int(told.ranks[-1])) for level in _SHOWN] * len(over)
    return HeatMap(
        step=over.step[moment[order]],
        width=over.width[moment[order]],
        row=row[order].astype(float),
        relative=np.concatenate([slow.relative, relative])[order],
        phases_ms=milliseconds(phases),
        who=tuple(who[at] for at in order),
        rows=rows,
        names=(*_PLACES, *(_name(level) for level in _SHOWN)),
        slowest=_named(_stragglers(_recent(told), RECENT_REPORTS), hosts),
    )


def phase_bars(history: History) -> PhaseBars:
    """A bar for each place among the slowest lately, and one of the medians."""
    told = _recent(history.time_spread)
    slow = _stragglers(told, RECENT_REPORTS)
    hosts = members(history)[1]
    medians = {name: getattr(told, name)[:, _MEDIAN].mean() for name in PHASES}
    return PhaseBars(
        np.append(slow.place, WORST).astype(float),
        milliseconds({name: np.append(slow.phases_s[name], medians[name]) for name in PHASES}),
        (*(rank_on_host(rank, hosts) for rank in slow.rank), "medians of all ranks"),
        rows=WORST + 1,
        names=(*_PLACES, _name(_MEDIAN)),
    )


def _stragglers(told: TimeSpread, size: int) -> _Stragglers:
    """Of each ``size`` reports the ranks that have lost the others the most time."""
    is_there = ~np.isnan(told.worst).ravel()
    rank = told.worst.ravel()[is_there].astype(int)
    at = np.repeat(np.arange(len(told.step)) // size, told.worst.shape[1])[is_there]
    most_ranks = int(told.ranks.max())
    pairs, which, reports = np.unique(
        at * most_ranks + rank, return_inverse=True, return_counts=True
    )
    moment, rank = np.divmod(pairs, most_ranks)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(which, values.ravel()[is_there])

    median_s = np.broadcast_to(told.own_s[:, _MEDIAN, None], told.worst.shape)
    phases_s = {name: total(told.worst_times[name]) for name in PHASES}
    own_s = phases_s["data_wait_s"] + phases_s["compute_s"]
    order = np.lexsort((rank, total(median_s) - own_s, moment))
    first = np.searchsorted(moment[order], moment[order])
    place = np.arange(len(order)) - first
    order, place = order[place < WORST], place[place < WORST]
    return _Stragglers(
        moment[order],
        place,
        rank[order],
        _ratio(own_s, total(median_s))[order],
        {name: (phase_s / reports)[order] for name, phase_s in phases_s.items()},
    )


def _recent(told: TimeSpread) -> TimeSpread:
    return replace(
        told,
        **{name: value[-RECENT_REPORTS:] for name, value in vars(told).items() if name in _ARRAYS},
        worst_times={name: told.worst_times[name][-RECENT_REPORTS:] for name in PHASES},
    )


def _named(slow: _Stragglers, hosts: tuple[str, ...]) -> tuple[Slow, ...]:
    """Those who keep the others waiting for long enough to be named."""
    named = [
        Slow(int(rank), hosts[int(rank)] if rank < len(hosts) else "", float(relative))
        for rank, relative in zip(slow.rank, slow.relative, strict=True)
        if relative >= _NAMED_FROM
    ]
    return tuple(named[:_NAMED])


def _name(level: int) -> str:
    share = QUANTILES[level]
    return _WORDS[share][0] if share in _WORDS else f"{100 * share:.0f} %"


def _quantile(level: int, ranks: int) -> str:
    share = QUANTILES[level]
    part = _WORDS[share][1] if share in _WORDS else f"{100 * share:.0f} %"
    return f"at most, {part} of {ranks:,} ranks"


def _ratio(values: np.ndarray, to: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return values / to
