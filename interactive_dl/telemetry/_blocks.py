"""Numbers of many records as columns, each with one entry, or one row, per record."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import starmap
from typing import Any

import numpy as np

from interactive_dl.telemetry import _sketches
from interactive_dl.telemetry._columns import Block
from interactive_dl.telemetry._figures import RankTimes
from interactive_dl.telemetry.events import Record

PHASES = ("data_wait_s", "compute_s", "allreduce_wait_s", "other_s")
RESOURCES = ("cpu_percent", "rss_bytes", "gpu_percent", "gpu_memory_bytes")
ORIGIN = ("engine", "seq")


def reports_block(records: list[Record]) -> Block:
    """Of records of ``Progress``: how the training stood.

    Nearly all records are such, and there may be a million of them: list comprehensions of one
    attribute are the fastest way to their numbers.
    """
    events: list[Any] = [record.event for record in records]
    return {
        **_metrics_block(events),
        "step": _floats([event.step for event in events]),
        "epoch": _floats([event.epoch for event in events]),
        "learning_rate": _numbers([event.learning_rate for event in events]),
        "samples_per_s": _numbers([event.samples_per_s for event in events]),
        "step_time_s": _floats([event.step_time_s for event in events]),
        **origin_block(records),
    }


def ranks_block(records: list[Record]) -> Block:
    """Of records of ``Progress`` that tell each rank: where its time went."""
    events: list[Any] = [record.event for record in records]
    ranks = _sketches.read(RankTimes, [event.ranks for event in events])
    return {
        "data_wait_s": padded([one.data_wait_s for one in ranks]),
        "compute_s": padded([one.compute_s for one in ranks]),
        "allreduce_wait_s": padded([one.allreduce_wait_s for one in ranks]),
        "other_s": padded([one.other_s for one in ranks]),
        "step": _floats([event.step for event in events]),
        **origin_block(records),
    }


def epochs_block(records: list[Record]) -> Block:
    """Of records of ``EpochEnded``."""
    events: list[Any] = [record.event for record in records]
    own = {
        "step": _floats([event.step for event in events]),
        "epoch": _floats([event.epoch for event in events]),
        "duration_s": _floats([event.duration_s for event in events]),
    }
    return {**_metrics_block(events), **own, **origin_block(records)}


def resources_block(records: list[Record]) -> Block:
    """Of records of ``Resources``."""
    events = [record.event for record in records]
    used = {name: padded([getattr(event, name) for event in events]) for name in RESOURCES}
    return {**used, **origin_block(records)}


def _metrics_block(events: list[Any]) -> dict[str, np.ndarray]:
    all_metrics = [event.metrics for event in events]
    names = set().union(*all_metrics)
    if set(map(len, all_metrics)) == {len(names)}:  # all have all
        return {name: _numbers([metrics[name] for metrics in all_metrics]) for name in names}
    return {name: _numbers([metrics.get(name) for metrics in all_metrics]) for name in names}


def origin_block(records: list[Record]) -> dict[str, np.ndarray]:
    return {
        "time_s": _floats([record.time_s for record in records]),
        "engine": _floats([record.engine for record in records]),
        "seq": _floats([record.seq for record in records]),
    }


def _numbers(values: list[Any]) -> np.ndarray:
    """Floats, NaN for None."""
    return np.array(values, dtype=float)


def _floats(values: list[float]) -> np.ndarray:
    """Read-only; twice as fast as np.array, which looks for what its numbers are."""
    return np.frombuffer(struct.pack(f"{len(values)}d", *values))


def padded(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Float array of shape (rows, longest row), NaN where a row is shorter."""
    width = len(rows[0]) if rows else 0
    try:
        packed = b"".join(starmap(struct.Struct(f"{width}d").pack, rows))
    except struct.error:  # not all are as long as the first
        return _filled(rows)
    return np.frombuffer(packed).reshape(len(rows), width)


def _filled(rows: Sequence[Sequence[float]]) -> np.ndarray:
    filled = np.full((len(rows), max(map(len, rows))), np.nan)
    for into, row in zip(filled, rows, strict=True):
        into[: len(row)] = row
    return filled
