"""Training again what a journal tells: the same commands after the same steps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interactive_dl.errors import ReplayError
from interactive_dl.telemetry import journal
from interactive_dl.telemetry.events import (
    CommandApplied,
    CommandSent,
    Ended,
    EpochEnded,
    Event,
    GroupChanged,
    Progress,
    Record,
    Started,
)
from interactive_dl.telemetry.steering import Pause, Resume, Sent, Stop

VARIABLE = "IDL_REPLAY"
"""Environment variable with the path of the journal that a program is to train again."""


@dataclass(frozen=True)
class Score:
    """What happened in a run, to be done again.

    Attributes:
        started: how it began.
        within: commands by the step after which they were carried out.
        between: commands that were carried out at the end of an epoch, by the step it ended with.
        reports: steps after which it reported.
    """

    started: Started
    within: Mapping[int, tuple[Sent, ...]]
    between: Mapping[int, tuple[Sent, ...]]
    reports: frozenset[int]

    @property
    def ranks(self) -> int:
        """How many ranks trained."""
        return len(self.started.engines)


def score(records: Iterable[Record]) -> Score:
    """Read what is to be done again.

    A pause takes time but changes nothing; it is left out. An interrupt becomes a stop.

    Raises:
        ReplayError: the run cannot be trained again from its journal alone.
    """
    events = [record.event for record in records]
    started = next((event for event in events if isinstance(event, Started)), None)
    if started is None:
        raise ReplayError("A run is replayed from its beginning, but the journal has none.")
    _check(started, events)
    commands = {event.id: event for event in events if isinstance(event, CommandSent)}
    within: dict[int, tuple[Sent, ...]] = {}
    between: dict[int, tuple[Sent, ...]] = {}
    for event in events:
        if isinstance(event, CommandApplied) and event.id in commands:
            sent = commands[event.id]
            if not isinstance(sent.command, Pause | Resume):
                at = between if event.at_epoch_end else within
                at[event.step] = (
                    *at.get(event.step, ()),
                    Sent(event.id, sent.who, sent.command),
                )
        if isinstance(event, Ended) and event.outcome == "interrupted":
            stop = Sent("interrupt", "the interrupt", Stop("step"))
            within[event.step] = (*within.get(event.step, ()), stop)
    reports = frozenset(event.step for event in events if isinstance(event, Progress))
    return Score(started, within, between, reports)


def read(path: Path) -> Score:
    """The score of a journal.

    Raises:
        JournalError: the file is no journal.
        ReplayError: as ``score``.
    """
    return score(journal.records(path))


def requested(name: str, ordinal: int) -> Score | None:
    """The score that ``$IDL_REPLAY`` names, if it is that of this process's run.

    Args:
        name: of the run that begins.
        ordinal: how many runs of this name the process has begun before.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    found = read(Path(path))
    matches = (found.started.name, found.started.ordinal) == (name, ordinal)
    return found if matches else None


@dataclass(frozen=True)
class Difference:
    """The first place where two runs differ."""

    step: int
    metric: str
    first: float | None
    second: float | None

    def __str__(self) -> str:
        return f"step {self.step}: {self.metric} was {self.first!r}, and is {self.second!r} now"


def compare(first: Iterable[Record], second: Iterable[Record]) -> Difference | None:
    """Compare the curves of two runs bit for bit, at the steps that both told; None if alike.

    Raises:
        ReplayError: there is no step that both told.
    """
    one, other = _curve(first), _curve(second)
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise ReplayError(
            f"Curves are compared at common steps, but one run told {len(one)} and the other"
            f" {len(other)} points, none at the same step."
        )
    for key in shared:
        for metric, value in one[key].items():
            if other[key].get(metric) != value:
                return Difference(key[0], metric, value, other[key].get(metric))
    return None


def _curve(records: Iterable[Record]) -> dict[tuple[int, str], Mapping[str, float | None]]:
    curve: dict[tuple[int, str], Mapping[str, float | None]] = {}
    for record in records:
        event = record.event
        if isinstance(event, Progress):
            curve[event.step, "progress"] = event.metrics
        elif isinstance(event, EpochEnded):
            metrics = {k: v for k, v in event.metrics.items() if k != "samples_per_s"}
            curve[event.step, "epoch"] = metrics
    return curve


def _check(started: Started, events: Sequence[Event]) -> None:
    if not started.source:
        raise ReplayError(
            f"The program is part of a journal that is replayed, but {started.name!r} was started"
            " where it could not be read. Run it as a script or from a cell."
        )
    if started.first_step:
        raise ReplayError(
            f"A run is replayed from its beginning, but {started.name!r} went on from a checkpoint"
            f" after step {started.first_step}. Replay the run that it resumed."
        )
    changed = next((event for event in events if isinstance(event, GroupChanged)), None)
    if changed is not None:
        raise ReplayError(
            f"Ranks stay the same in a replay, but {started.name!r} went on with"
            f" {len(changed.engines)} of {len(started.engines)} after step {changed.step}."
        )
