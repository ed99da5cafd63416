"""What came of a run's commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from interactive_dl.telemetry._timeline import age
from interactive_dl.telemetry.events import (
    Change,
    CommandApplied,
    CommandRefused,
    KnobState,
    Record,
)
from interactive_dl.telemetry.steering import AnyCommand

Answer = Literal["sent", "applied", "refused"]


@dataclass(frozen=True)
class CommandStatus:
    """A command and what came of it.

    Attributes:
        id: of the command.
        command: what to do.
        who: user and host that sent it.
        sent_s: seconds since the epoch.
        state: ``sent`` until the run answers.
        step: after which all ranks carried it out; None before, and where it was refused.
        changes: knobs before and after.
        reason: why it was refused.
    """

    id: str
    command: AnyCommand
    who: str
    sent_s: float
    state: Answer = "sent"
    step: int | None = None
    changes: tuple[Change, ...] = ()
    reason: str = ""


def statuses(sent: Sequence[Record], answers: Iterable[Record]) -> tuple[CommandStatus, ...]:
    """All commands in their order; of one that was sent twice the first, of answers the last.

    Args:
        sent: records of ``CommandSent``, by age.
        answers: those of ``CommandApplied`` and ``CommandRefused``.
    """
    answered: dict[str, Any] = {
        record.event.id: record.event  # type: ignore[union-attr]
        for record in answers
    }
    by_id: dict[str, Any] = {
        record.event.id: record  # type: ignore[union-attr]
        for record in reversed(sent)
    }
    return tuple(_status(by_id[id_], answered.get(id_)) for id_ in reversed(by_id))


def knobs_after(known: Iterable[KnobState], applied: Iterable[Record]) -> dict[str, KnobState]:
    """Knobs by name with the values that commands gave them.

    Args:
        known: as they were when the run began.
        applied: records of ``CommandApplied``.
    """
    knobs = {knob.name: knob for knob in known}
    in_order: list[Any] = list(applied)
    for record in sorted(in_order, key=lambda record: (record.event.step, age(record))):
        for change in record.event.changes:
            if change.name in knobs:
                knob = knobs[change.name]
                knobs[change.name] = msgspec.structs.replace(knob, value=change.new)
    return knobs


def _status(sent: Record, answer: CommandApplied | CommandRefused | None) -> CommandStatus:
    event: Any = sent.event
    status = CommandStatus(event.id, event.command, event.who, sent.time_s)
    match answer:
        case CommandApplied(step=step, changes=changes):
            return replace(status, state="applied", step=step, changes=changes)
        case CommandRefused(reason=reason):
            return replace(status, state="refused", reason=reason)
        case _:
            return status
