"""A cluster's engines as a person looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from interactive_dl.telemetry.spread import RESOURCES
from interactive_dl_widgets.views.throughput import members

if TYPE_CHECKING:
    from interactive_dl.cluster import Death, Engine
    from interactive_dl.telemetry.history import History


@dataclass(frozen=True)
class Load:
    """What an engine's process uses; None where it was not measured.

    Attributes:
        cpu_percent: 100 % is one core.
        rss_bytes: resident memory.
        gpu_percent: of its GPU.
        gpu_memory_bytes: of its GPU.
    """

    cpu_percent: float | None = None
    rss_bytes: int | None = None
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


@dataclass(frozen=True)
class EngineRow:
    """One engine of the table.

    Attributes:
        id: stable id.
        rank: in the world.
        host: host name.
        pid: process id.
        state: ``starting``, ``ready`` or ``dead``.
        reason: why it died; empty for the living.
        load: what it uses.
    """

    id: int
    rank: int
    host: str
    pid: int
    state: Literal["starting", "ready", "dead"]
    reason: str
    load: Load


def engine_rows(
    engines: Sequence[Engine], deaths: Sequence[Death], loads: Mapping[int, Load]
) -> tuple[EngineRow, ...]:
    """The engines by rank, the dead with their reasons.

    Args:
        engines: of the current world.
        deaths: engines that died.
        loads: by engine id.
    """
    reasons = {death.engine: death.reason for death in deaths}
    return tuple(
        EngineRow(
            engine.id,
            engine.rank,
            engine.host,
            engine.pid,
            engine.state,
            reasons.get(engine.id, "") if engine.state == "dead" else "",
            loads.get(engine.id, Load()) if engine.state == "ready" else Load(),
        )
        for engine in sorted(engines, key=lambda engine: engine.rank)
    )


def reported_loads(history: History) -> dict[int, Load]:
    """What a run told last of its ranks' processes, by engine id; of GPUs, and of other hosts."""
    used, many = history.resources, history.resource_spread
    engines, _ = members(history)
    if len(used.time_s) == 0:
        return {}
    columns = {name: getattr(used, name) for name in RESOURCES}
    if len(many.time_s) and many.time_s[-1] == used.time_s[-1]:
        # Too many ranks to tell each: those with the most memory are known.
        columns = many.worst_use
        engines = tuple(engines[int(rank)] for rank in many.worst[-1] if rank < len(engines))
    last = [column[-1] for column in columns.values() if column.shape[-1]]
    return {
        engine: Load(float(cpu), int(rss), *((float(gpu[0]), int(gpu[1])) if gpu else ()))
        for engine, cpu, rss, *gpu in zip(engines, *last, strict=False)
        if not np.isnan([cpu, rss, *gpu]).any()
    }


def merged(reported: Mapping[int, Load], measured: Mapping[int, Load]) -> dict[int, Load]:
    """Loads by engine id: measured ones are newer, but know nothing of GPUs."""
    both = dict(reported)
    for engine, load in measured.items():
        known = reported.get(engine, Load())
        both[engine] = replace(known, cpu_percent=load.cpu_percent, rss_bytes=load.rss_bytes)
    return both
