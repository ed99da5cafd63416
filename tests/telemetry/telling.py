"""What these tests tell, and how they read it back."""

from __future__ import annotations

from pathlib import Path

from interactive_dl.telemetry import events, journal

RUN = "rpv-20260314-101500-a1b2"
OTHER = "digits-20260314-101501-a1b2"
DEADLINE_S = 30.0


def started(name: str = "rpv") -> events.Started:
    return events.Started(name, (0,), ("here",), epochs=3)


def progress(step: int) -> events.Progress:
    return events.Progress(step, 0, step, {"loss": 1.0 / step}, 0.1)


def records(path: Path) -> list[events.Record]:
    return list(journal.records(path))
