"""A cluster's engines as a person looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from interactive_dl.cluster import Death, Engine


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
        state: ``ready`` or ``dead``.
        reason: why it died; empty for the living.
        load: what it uses.
    """

    id: int
    rank: int
    host: str
    pid: int
    state: Literal["ready", "dead"]
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
