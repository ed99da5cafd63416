"""Where each rank's time goes, and who keeps the others waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.telemetry.spread import PHASES
from interactive_dl_widgets.views import crowd
from interactive_dl_widgets.views.maps import (
    RECENT_REPORTS,
    HeatMap,
    PhaseBars,
    milliseconds,
    moments,
    quiet,
    rank_on_host,
)
from interactive_dl_widgets.views.throughput import members

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History


def heat_map(history: History) -> HeatMap:
    """Who is slower than the others, and when: a row for each rank, or, where there are too many,
    for the slowest ones and the quantiles of all.

    Step times say nothing of it: under synchronous training the slowest rank's is everybody's.
    """
    return crowd.heat_map(history) if _are_many(history) else _of_each(history)


def phase_bars(history: History) -> PhaseBars:
    """Where the ranks' time went lately; of too many, that of the slowest and of the median."""
    return crowd.phase_bars(history) if _are_many(history) else _bar_of_each(history)


def _are_many(history: History) -> bool:
    """Whether the latest report tells not each rank; earlier ones that do are not shown then."""
    each, many = history.rank_times.time_s, history.time_spread.time_s
    return len(many) > 0 and (len(each) == 0 or many[-1] > each[-1])


def _of_each(history: History) -> HeatMap:
    times = history.rank_times
    ranks = np.asarray(times.compute_s).shape[1]
    over = moments(times.step, ranks)
    phases = {name: over.means(np.asarray(getattr(times, name))) for name in PHASES}
    own_s = phases["data_wait_s"] + phases["compute_s"]
    median = quiet(np.nanmedian, own_s, axis=1, keepdims=True) if len(over) else own_s
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = own_s / median
    lives = ~np.isnan(own_s).ravel()
    rank = np.tile(np.arange(ranks, dtype=float), len(over))[lives]
    hosts = members(history)[1]
    return HeatMap(
        step=np.repeat(over.step, ranks)[lives],
        width=np.repeat(over.width, ranks)[lives],
        row=rank,
        relative=relative.ravel()[lives],
        phases_ms=milliseconds({name: phase.ravel()[lives] for name, phase in phases.items()}),
        who=tuple(rank_on_host(one, hosts) for one in rank),
        rows=ranks,
    )


def _bar_of_each(history: History) -> PhaseBars:
    times = history.rank_times
    recent = {
        name: quiet(np.nanmean, np.asarray(getattr(times, name))[-RECENT_REPORTS:], axis=0)
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
        milliseconds({name: values[lives] for name, values in recent.items()}),
        tuple(rank_on_host(one, hosts) for one in rank),
        rows=len(hosts),
    )
