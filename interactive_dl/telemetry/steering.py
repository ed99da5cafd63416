"""What a person can tell a run that trains; values, carried out by the engine's side."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Command(msgspec.Struct, frozen=True, tag_field="command", tag=str.lower, omit_defaults=True):
    """Root of the commands."""


class SetKnobs(Command, frozen=True):
    """Give knobs new values; the run refuses what it has no knob for, or what the knob refuses."""

    values: dict[str, Any]


class Pause(Command, frozen=True):
    """Wait after the step that runs, keeping everything."""


class Resume(Command, frozen=True):
    """Go on after a pause."""


class Stop(Command, frozen=True):
    """End the training, after the step that runs or with the epoch."""

    after: Literal["step", "epoch"] = "step"


class WriteCheckpoint(Command, frozen=True):
    """Write the run's checkpoint now."""


class Evaluate(Command, frozen=True):
    """Validate now."""


class Grow(Command, frozen=True):
    """Start the engines that the training lacks, and take them in."""


class Vacate(Command, frozen=True):
    """Let go of the engines, after a checkpoint: their allocation ends. A search ends its work, and
    can be resumed.
    """


class Request(Command, frozen=True):
    """Something for the program that tells the journal: a search, its trials. A run refuses it."""

    data: dict[str, Any]


AnyCommand = SetKnobs | Pause | Resume | Stop | WriteCheckpoint | Evaluate | Grow | Vacate | Request


class Sent(msgspec.Struct, frozen=True):
    """A command on its way.

    Attributes:
        id: unique; the answer carries it.
        who: user and host that sent it.
        command: what to do.
    """

    id: str
    who: str
    command: AnyCommand


def words(command: Command) -> str:
    """A command in a few words: ``set learning_rate = 0.0003``, ``stop after epoch``."""
    match command:
        case SetKnobs(values=values):
            return "set " + ", ".join(f"{name} = {value}" for name, value in values.items())
        case Stop(after=after):
            return f"stop after {after}"
        case WriteCheckpoint():
            return "write checkpoint"
        case _:
            return type(command).__name__.lower()
