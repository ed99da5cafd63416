"""What reports say of very many ranks, report by report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interactive_dl.telemetry import _sketches
from interactive_dl.telemetry._blocks import PHASES, RESOURCES, origin_block, padded
from interactive_dl.telemetry._columns import Block, Columns
from interactive_dl.telemetry._figures import RankSpread
from interactive_dl.telemetry.events import Record

TIMES = ("own_s", *PHASES)
_WORST = "worst_"


@dataclass(frozen=True)
class TimeSpread:
    """Where the time of many ranks went: of reports that tell not each of them.

    Attributes:
        step, time_s, ranks: of the report, and how many there were, shape (reports,).
        own_s, data_wait_s, compute_s, allreduce_wait_s, other_s: quantiles, seconds per step,
            shape (reports, ``len(spread.QUANTILES)``).
        worst: the slowest ranks, the slowest first, shape (reports, ``spread.WORST``).
        worst_times: seconds per step by phase, of each of them, same shape.
    """

    step: np.ndarray
    time_s: np.ndarray
    ranks: np.ndarray
    own_s: np.ndarray
    data_wait_s: np.ndarray
    compute_s: np.ndarray
    allreduce_wait_s: np.ndarray
    other_s: np.ndarray
    worst: np.ndarray
    worst_times: dict[str, np.ndarray]


@dataclass(frozen=True)
class ResourceSpreads:
    """What many ranks' processes used: of reports that tell not each of them.

    Attributes:
        time_s, ranks: of the report, and how many there were, shape (reports,).
        cpu_percent, rss_bytes, gpu_percent, gpu_memory_bytes: quantiles, shape (reports,
            ``len(spread.QUANTILES)``); no columns where there is no GPU.
        worst: the ranks with the most memory, shape (reports, ``spread.WORST``).
        worst_use: by number, of each of them, same shape.
    """

    time_s: np.ndarray
    ranks: np.ndarray
    cpu_percent: np.ndarray
    rss_bytes: np.ndarray
    gpu_percent: np.ndarray
    gpu_memory_bytes: np.ndarray
    worst: np.ndarray
    worst_use: dict[str, np.ndarray]


def time_block(records: list[Record]) -> Block:
    """Of records of ``Progress`` that have a spread."""
    events: list[Any] = [record.event for record in records]
    spreads = _sketches.read(RankSpread, [event.spread for event in events])
    return {
        **origin_block(records),
        "step": np.array([event.step for event in events], float),
        **_block(spreads, spreads, TIMES),
        **_of_worst([one.worst_times for one in spreads], PHASES),
    }


def resource_block(records: list[Record]) -> Block:
    """Of records of ``Resources`` that have a spread."""
    events: list[Any] = [record.event for record in records]
    spreads = [event.spread for event in events]
    return {
        **origin_block(records),
        **_block(spreads, [one.all for one in spreads], RESOURCES),
        **_of_worst([one.worst_use for one in spreads], RESOURCES),
    }


def time_spread(found: Columns) -> TimeSpread:
    """The columns of a table of ``time_block``s."""
    shown = {name: found.get(name, _NOTHING) for name in (*TIMES, "worst")}
    return TimeSpread(
        found["step"], found["time_s"], found["ranks"], **shown, worst_times=_worst(found, PHASES)
    )


def resource_spreads(found: Columns) -> ResourceSpreads:
    """The columns of a table of ``resource_block``s."""
    shown = {name: found.get(name, _NOTHING) for name in (*RESOURCES, "worst")}
    return ResourceSpreads(
        found["time_s"], found["ranks"], **shown, worst_use=_worst(found, RESOURCES)
    )


_NOTHING = np.empty((0, 0))


def _block(spreads: list[Any], quantiles: list[Any], names: tuple[str, ...]) -> Block:
    return {
        "ranks": np.array([one.ranks for one in spreads], float),
        "worst": padded([one.worst for one in spreads]),
        **{name: padded([getattr(one, name) for one in quantiles]) for name in names},
    }


def _of_worst(worst: list[Any], names: tuple[str, ...]) -> Block:
    return {_WORST + name: padded([getattr(one, name) for one in worst]) for name in names}


def _worst(found: Columns, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: found.get(_WORST + name, _NOTHING) for name in names}
