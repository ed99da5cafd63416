"""What a cluster says about itself: engines, deaths, state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

StateName = Literal[
    "stopped",
    "submitting",
    "refused",
    "pending",
    "impossible",
    "starting",
    "ready",
    "degraded",
    "failed",
    "cancelled",
    "pre-empted",
    "timed out",
    "unknown",
]


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        id: stable for the engine's life.
        rank: its rank in the world; in a group it has another.
        host: host name.
        pid: process id.
        state: ``starting`` until it takes cells, then ``ready`` or ``dead``.
        log: the file that its process prints to outside of cells.
    """

    id: int
    rank: int
    host: str
    pid: int
    state: Literal["starting", "ready", "dead"]
    log: Path


@dataclass(frozen=True)
class Death:
    """An engine that ended although nobody stopped the cluster.

    Attributes:
        engine: its stable id.
        rank: its rank in the world.
        host: host name.
        pid: the process id that it had.
        exit_code: its exit code, if it exited.
        signal_number: the signal that ended it, if one did.
        ended_at_s: seconds since the epoch; None where its end was not seen.
        reason: ``killed by SIGKILL``, ``exit code 3`` ...
        log_lines: the last lines of its log.
    """

    engine: int
    rank: int
    host: str
    pid: int
    exit_code: int | None
    signal_number: int | None
    ended_at_s: float | None
    reason: str
    log_lines: tuple[str, ...]

    @property
    def headline(self) -> str:
        """Who, where, why."""
        return (
            f"Engine {self.engine} (rank {self.rank} on {self.host}, pid {self.pid}) died:"
            f" {self.reason}."
        )

    def __str__(self) -> str:
        if not self.log_lines:
            return self.headline
        lines = (f"    {line}" for line in self.log_lines)
        return "\n".join([f"{self.headline} The end of its log:", *lines])


@dataclass(frozen=True)
class State:
    """What a cluster is able to do.

    ``name``: ``ready`` - all engines live; ``degraded`` - some died or a process that they need
    has ended, the others work on; ``failed`` - none can be reached. ``reason`` says why.
    Where a scheduler has a say: ``submitting``; ``refused`` by it; ``pending``; ``impossible`` - it
    took what can never start; ``cancelled``; ``pre-empted`` - its job made room for another;
    ``timed out``; ``unknown`` - it does not answer.
    """

    name: StateName
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.reason else self.name


@dataclass(frozen=True)
class Summary:
    """One line of ``Cluster.list()``."""

    id: str
    state: StateName
    engines: int
    host: str
    started_at_s: float
