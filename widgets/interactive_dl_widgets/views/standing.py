"""How far a run is, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History

_RECENT_REPORTS = 200
_RECENT_EPOCHS = 5


@dataclass(frozen=True)
class Standing:
    """How far a run is.

    Attributes:
        state: ``running``, ``paused``, ``finished`` ...
        reason: why it is in this state, where that needs words.
        is_over: whether it has ended.
        step: steps finished.
        steps: how many there are to be; None where nobody knows.
        epoch: epochs finished.
        epochs: how many there are to be; None before the run says so.
        done: share of the work, 0 .. 1; None where nobody knows.
        left_s: seconds that the rest will take; None where nobody knows.
        learning_rate: of the last step that was told; None before.
        missing: ranks that were lost and not replaced.
        checkpoint: step of the latest checkpoint; None before the first.
        untold: events that were dropped, or are missing in the journal.
    """

    state: str
    reason: str
    is_over: bool
    step: int
    steps: int | None
    epoch: int
    epochs: int | None
    done: float | None
    left_s: float | None
    learning_rate: float | None
    missing: int = 0
    checkpoint: int | None = None
    untold: int = 0


def standing(history: History) -> Standing:
    """How far the run is, from what it told."""
    started, ended = history.started, history.ended
    steps = (
        started.epochs * started.steps_per_epoch if started and started.steps_per_epoch else None
    )
    done = _share(history, steps)
    rates = history.progress["learning_rate"]
    return Standing(
        state=history.state,
        reason=_reason(history),
        is_over=ended is not None,
        step=history.step,
        steps=steps,
        epoch=history.epoch,
        epochs=started.epochs if started else None,
        done=done,
        left_s=None if ended or done is None else _left_s(history, done),
        learning_rate=float(rates[-1]) if len(rates) and np.isfinite(rates[-1]) else None,
        missing=_missing(history),
        checkpoint=history.checkpoints[-1].step if history.checkpoints else None,
        untold=history.dropped + _gaps(history),
    )


def duration(seconds: float) -> str:
    """A duration as people say it: ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``3 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def _share(history: History, steps: int | None) -> float | None:
    started = history.started
    if started is None or started.epochs == 0:
        return None
    share = history.step / steps if steps else history.epoch / started.epochs
    return min(1.0, share)


def _left_s(history: History, done: float) -> float | None:
    """From the last epochs, which include validations; before the first ends, from steps."""
    started = history.started
    assert started is not None
    durations = history.epochs["duration_s"]
    if len(durations):
        return (1 - done) * started.epochs * float(np.median(durations[-_RECENT_EPOCHS:]))
    progress = history.progress
    steps = progress["step"][-_RECENT_REPORTS:]
    times_s = progress["time_s"][-_RECENT_REPORTS:]
    if not started.steps_per_epoch or len(steps) < 2:
        return None
    # The median: a pause makes one long interval, not all of them.
    step_s = float(np.median(np.diff(times_s) / np.maximum(np.diff(steps), 1)))
    return (1 - done) * started.epochs * started.steps_per_epoch * step_s


def _missing(history: History) -> int:
    if history.started is None or not history.groups:
        return 0
    return max(0, len(history.started.engines) - len(history.groups[-1].engines))


def _gaps(history: History) -> int:
    gaps = (gap for gaps in history.gaps.values() for gap in gaps)
    return sum(last - first + 1 for first, last in gaps)


def _reason(history: History) -> str:
    if history.ended:
        return history.ended.reason
    return history.states[-1].reason if history.states else ""
