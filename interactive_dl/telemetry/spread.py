"""Numbers of all ranks for a report, whose size stays bounded however many ranks there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from interactive_dl.telemetry._figures import (
    RankResources,
    RankSpread,
    RankTimes,
    ResourceSpread,
)
from interactive_dl.telemetry.events import Resources

TOLD_RANKS = 128
"""Up to so many ranks each one is told."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Journals rely on them: others would need another format."""

WORST = 8
"""So many ranks are told whole where there are too many to tell all."""

PHASES = ("data_wait_s", "compute_s", "allreduce_wait_s", "other_s")
RESOURCES = ("cpu_percent", "rss_bytes", "gpu_percent", "gpu_memory_bytes")
_TIME_DIGITS = 6
_PERCENT_DIGITS = 1

ByRank = Mapping[str, np.ndarray]
"""Numbers by what they are, each of shape (ranks,)."""


def time_fields(times: ByRank) -> dict[str, Any]:
    """The field of ``Progress`` that tells where the ranks' time went.

    Args:
        times: of each phase, seconds per step.
    """
    if len(times["compute_s"]) <= TOLD_RANKS:
        return {"ranks": _times(times)}
    return {"spread": time_spread(times)}


def time_spread(times: ByRank) -> RankSpread:
    """Where the time of all ranks goes, in short.

    Args:
        times: of each phase, seconds per step.
    """
    own_s = times["data_wait_s"] + times["compute_s"]
    worst = most(own_s)
    return RankSpread(
        ranks=len(own_s),
        own_s=_quantiles(own_s, _TIME_DIGITS),
        worst=tuple(worst.tolist()),
        worst_times=_times({name: times[name][worst] for name in PHASES}),
        **{name: _quantiles(times[name], _TIME_DIGITS) for name in PHASES},
    )


def resources(used: ByRank) -> Resources:
    """The event that tells what the ranks use.

    Args:
        used: ``cpu_percent``, ``rss_bytes``, ``gpu_percent``, ``gpu_memory_bytes``; the last two
            are empty where not every rank has a GPU that tells.
    """
    ranks = len(used["rss_bytes"])
    if ranks <= TOLD_RANKS:
        return Resources(**_whole(used))
    worst = most(used["rss_bytes"])
    of_worst = {name: values[worst] if len(values) else values for name, values in used.items()}
    return Resources(
        cpu_percent=(),
        rss_bytes=(),
        spread=ResourceSpread(
            ranks=ranks,
            all=RankResources(
                cpu_percent=_quantiles(used["cpu_percent"], _PERCENT_DIGITS),
                rss_bytes=_bytes(_quantiles(used["rss_bytes"], 0)),
                gpu_percent=_quantiles(used["gpu_percent"], _PERCENT_DIGITS),
                gpu_memory_bytes=_bytes(_quantiles(used["gpu_memory_bytes"], 0)),
            ),
            worst=tuple(worst.tolist()),
            worst_use=RankResources(**_whole(of_worst)),
        ),
    )


def most(values: np.ndarray, count: int = WORST) -> np.ndarray:
    """Ranks of the greatest values, the greatest first; of equal ones the lower rank first."""
    return np.argsort(-values, kind="stable")[:count]


def _quantiles(values: np.ndarray, digits: int) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).round(digits).tolist()) if len(values) else ()


def _times(times: ByRank) -> RankTimes:
    return RankTimes(*(tuple(times[name].round(_TIME_DIGITS).tolist()) for name in PHASES))


def _whole(used: ByRank) -> dict[str, Any]:
    return {
        name: _bytes(values) if name.endswith("_bytes") else tuple(values.tolist())
        for name, values in used.items()
    }


def _bytes(values: Any) -> tuple[int, ...]:
    return tuple(map(int, values))
