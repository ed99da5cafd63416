"""What was asked of a run, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interactive_dl.telemetry.steering import AnyCommand, SetKnobs, words

if TYPE_CHECKING:
    from interactive_dl.telemetry.events import Change
    from interactive_dl.telemetry.history import CommandStatus, History

Answer = Literal["pending", "applied", "refused"]
_SHOWN = 50


@dataclass(frozen=True)
class Asked:
    """A command that this notebook has sent, of which the run has said nothing yet."""

    id: str
    command: AnyCommand
    sent_s: float


@dataclass(frozen=True)
class Row:
    """One line of the list of commands.

    Attributes:
        sent_s: seconds since the epoch.
        who: user and host; empty for this notebook's while it is on its way.
        text: what was asked.
        answer: what came of it.
        detail: the step and the values before and after, or why it was refused.
    """

    sent_s: float
    who: str
    text: str
    answer: Answer
    detail: str


def rows(history: History, asked: Sequence[Asked] = ()) -> tuple[Row, ...]:
    """Commands, the newest first; those just sent appear before the run has heard of them."""
    told = {one.id for one in history.commands}
    waiting = [
        Row(one.sent_s, "", words(one.command), "pending", "")
        for one in asked
        if one.id not in told
    ]
    listed = [*map(_row, history.commands[-_SHOWN:]), *waiting]
    return tuple(sorted(listed, key=lambda row: row.sent_s, reverse=True)[:_SHOWN])


def awaited_knobs(history: History, asked: Sequence[Asked] = ()) -> frozenset[str]:
    """Knobs that a command is on its way for."""
    told = {one.id for one in history.commands}
    pending = [one.command for one in history.commands if one.state == "sent"]
    pending += [one.command for one in asked if one.id not in told]
    sets = (one.values for one in pending if isinstance(one, SetKnobs))
    return frozenset(name for values in sets for name in values)


def number(value: float | None) -> str:
    """A number as short as it can be said: ``0.0003``, ``1e-05``, ``128``; None as ``NaN``."""
    if value is None or math.isnan(value):
        return "NaN"
    return f"{value:.4g}"


def _row(status: CommandStatus) -> Row:
    answer: Answer = "pending" if status.state == "sent" else status.state
    return Row(status.sent_s, status.who, words(status.command), answer, _detail(status))


def _detail(status: CommandStatus) -> str:
    if status.state == "refused":
        return status.reason
    if status.state == "sent":
        return ""
    changes = ", ".join(map(_change, status.changes))
    return f"step {status.step}" + (f": {changes}" if changes else "")


def _change(change: Change) -> str:
    return f"{change.name} {number(change.old)} → {number(change.new)}"
