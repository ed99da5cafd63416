"""What a search's driver and the engines say to each other, through the search's second journal.

Engines tell what their trials do; the recorder writes it into ``<id>.work`` (``Noted``), whose only
reader of consequence is the driver. There, too, come the driver's words to the engines and people's
actions (``Request``), which the recorder passes on. Everything names trial and attempt: what comes
late, or twice, is known for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from interactive_dl.search.events import AnyAction, Promotion
from interactive_dl.search.ranges import Value
from interactive_dl.telemetry.events import Number

Reason = Literal["", "stop", "pause", "prune"]
Outcome = Literal["finished", "left", "failed", "peer failed"]


class Word(msgspec.Struct, frozen=True, tag_field="word", omit_defaults=True):
    """Root of what engines tell of an attempt of a trial."""

    trial: int
    attempt: int


class Began(Word, frozen=True):
    """The engine has begun with it."""


class Withdrawn(Word, frozen=True):
    """The engine has not begun with it, and will not."""


class OpenedRun(Word, frozen=True):
    """A training of it tells more of itself as this run."""

    run: str


class Reports(Word, frozen=True):
    """Its metrics after a step of its own counting."""

    step: int
    metrics: Mapping[str, Number]


class Saved(Word, frozen=True):
    """It can go on from this file."""

    step: int
    path: str


class Returned(Word, frozen=True):
    """It is over on this engine.

    Attributes:
        outcome: ``left`` where it was asked to, for ``reason``.
        value: that the objective returned; None for the last report's.
        why: the error, in words.
    """

    outcome: Outcome
    reason: Reason = ""
    value: Number = None
    why: str = ""


AnyWord = Began | Withdrawn | OpenedRun | Reports | Saved | Returned


class Order(msgspec.Struct, frozen=True, tag_field="order", omit_defaults=True):
    """Root of what engines are asked for an attempt of a trial; all hear it, its own obey."""

    trial: int
    attempt: int


class Leave(Order, frozen=True):
    """End it."""

    reason: Reason


class SetRate(Order, frozen=True):
    """Change its learning rate."""

    learning_rate: float


class Withdraw(Order, frozen=True):
    """Do not begin with it any more; ``engine`` says whether it had."""

    engine: int


class Act(msgspec.Struct, frozen=True, tag_field="order"):
    """What a person asks of the search; for the driver."""

    action: AnyAction


AnyOrder = Leave | SetRate | Withdraw | Act


class Task(msgspec.Struct, frozen=True):
    """What an engine gets to try a trial.

    Attributes:
        search: id of the search.
        name: of the search.
        trial, attempt: from 0, and from 1.
        engines: that try it together, by rank.
        params: by name.
        metric: that it is judged by.
        folder: of the trial's own files.
        checkpoint: to go on from; empty to begin anew.
        is_own: whether that is the trial's own, not its parent's.
        continues: whether it goes on from its parent's epochs, with its own learning rate.
        promotion: how it is trained on many engines; None for an ordinary trial.
        begun: epochs of its parent that it goes on from, where it is a promotion.
        parent_engines: how many its parent had.
        learning_rate: what a person has set.
        memory_bytes: that it may add to its engine's.
        seed: of its random numbers.
    """

    search: str
    name: str
    trial: int
    attempt: int
    engines: tuple[int, ...]
    params: dict[str, Value]
    metric: str
    folder: str
    checkpoint: str = ""
    is_own: bool = True
    continues: bool = False
    promotion: Promotion | None = None
    begun: int = 0
    parent_engines: int = 1
    learning_rate: float | None = None
    memory_bytes: int | None = None
    seed: int = 0


def journal_of(search: str) -> str:
    """Id of a search's own journal."""
    return f"{search}.search"


def search_of(journal: str) -> str:
    """Id of the search whose own journal this is."""
    return journal.removesuffix(journal_of(""))


def work_of(search: str) -> str:
    """Id of the journal that its engines tell."""
    return f"{search}.work"


def folder_of(runs: Path, search: str) -> Path:
    """Where a search keeps files: its objective, and a folder for each trial."""
    return runs / search


def plain(message: Word | Order | Act) -> dict[str, Any]:
    """A message as a JSON object."""
    made: dict[str, Any] = msgspec.to_builtins(message)
    return made


def word(data: Mapping[str, Any]) -> AnyWord:
    """Read what an engine told.

    Raises:
        msgspec.ValidationError: this version does not know it.
    """
    read: AnyWord = msgspec.convert(data, AnyWord)
    return read


def order(data: Mapping[str, Any]) -> AnyOrder:
    """Read what was asked.

    Raises:
        msgspec.ValidationError: this version does not know it.
    """
    read: AnyOrder = msgspec.convert(data, AnyOrder)
    return read
