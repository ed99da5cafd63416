"""Numbers of many records as columns, each with one entry, or one row, per record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from interactive_dl.telemetry.events import Record

PHASES = ("data_wait_s", "compute_s", "allreduce_wait_s", "other_s")
RESOURCES = ("cpu_percent", "rss_bytes", "gpu_percent", "gpu_memory_bytes")
ORIGIN = ("engine", "seq")


def progress_block(records: list[Record]) -> dict[str, np.ndarray]:
    events = [record.event for record in records]
    own = ("step", "epoch", "learning_rate", "samples_per_s", "step_time_s")
    return _metrics_block(events) | _attributes(events, own) | _origin_block(records)


def epochs_block(records: list[Record]) -> dict[str, np.ndarray]:
    events = [record.event for record in records]
    own = ("step", "epoch", "duration_s")
    return _metrics_block(events) | _attributes(events, own) | _origin_block(records)


def ranks_block(records: list[Record]) -> dict[str, np.ndarray]:
    events: list[Any] = [record.event for record in records]
    ranks = [event.ranks for event in events]
    block = {name: _padded(list(map(attrgetter(name), ranks))) for name in PHASES}
    return block | _attributes(events, ("step",)) | _origin_block(records)


def resources_block(records: list[Record]) -> dict[str, np.ndarray]:
    events = [record.event for record in records]
    block = {name: _padded(list(map(attrgetter(name), events))) for name in RESOURCES}
    return block | _origin_block(records)


def _metrics_block(events: list[Any]) -> dict[str, np.ndarray]:
    all_metrics = [event.metrics for event in events]
    names = set().union(*all_metrics)
    return {name: _numbers([metrics.get(name) for metrics in all_metrics]) for name in names}


def _attributes(values: list[Any], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: _numbers(list(map(attrgetter(name), values))) for name in names}


def _origin_block(records: list[Record]) -> dict[str, np.ndarray]:
    return _attributes(records, ("time_s", *ORIGIN))


def _numbers(values: list[Any]) -> np.ndarray:
    """Floats, NaN for None."""
    return np.array(values, dtype=float)


def _padded(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Float array of shape (rows, longest row), NaN where a row is shorter."""
    widths = set(map(len, rows))
    if len(widths) == 1:
        (width,) = widths
        shape = (len(rows), width)
        # Three times faster than np.array, which looks at every row.
        return np.fromiter(chain.from_iterable(rows), float, len(rows) * width).reshape(shape)
    filled = np.full((len(rows), max(widths, default=0)), np.nan)
    for into, row in zip(filled, rows, strict=True):
        into[: len(row)] = row
    return filled
