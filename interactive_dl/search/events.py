"""What happens in a search: small frozen values, each recorded once, in a journal of its own.

The file is a run's journal (``telemetry.journal``): the same first line, one record a line, one
writer. Only what the records tell is the search's. A search ends with telemetry's own ``Ended``, so
that whoever lists journals knows that it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from interactive_dl.errors import JournalError
from interactive_dl.search.ranges import AnyDimension, Value
from interactive_dl.search.space import Space
from interactive_dl.telemetry import journal
from interactive_dl.telemetry.events import Dropped, Ended, Event, LogLine, Number, StateChanged

DRIVER = -2
"""The ``engine`` of records that who runs the search makes."""

Direction = Literal["minimize", "maximize"]
EndState = Literal["finished", "pruned", "stopped", "failed", "quarantined"]
Origin = Literal["sampler", "person", "clone", "promotion", "exploit"]


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much may be done.

    Attributes:
        trials: how many the sampler makes; those that people add come on top.
        concurrency: how many may run at once; None for as many as there are engines.
        engines_per_trial: k engines form a group for each trial.
        time_budget_s: seconds of work, after which nothing is started and what runs is stopped;
            while nobody ran the search they did not pass.
        crashes: on so many different engines make a trial poisonous.
        attempts: how often a trial is started at most where fewer engines are left than that.
        memory_bytes: that a trial may add to its engine's; None for no limit.
    """

    trials: int | None = None
    concurrency: int | None = None
    engines_per_trial: int = 1
    time_budget_s: float | None = None
    crashes: int = 3
    attempts: int = 6
    memory_bytes: int | None = None


class SearchBegan(Event, frozen=True):
    """A search begins.

    Attributes:
        name: of the search; several may share it.
        space: what to search.
        metric: of the reports, that the trials are judged by.
        direction: which values of it are better.
        sampler, pruner: by name.
        sampler_options, pruner_options: what ``samplers.make`` and ``pruners.make`` take.
        seed: of every draw.
        limits: how much may be done.
        source: the objective's text.
        versions: version by package.
    """

    name: str
    space: Space
    metric: str
    direction: Direction = "minimize"
    sampler: str = "random"
    sampler_options: dict[str, Any] = msgspec.field(default_factory=dict)
    pruner: str = "none"
    pruner_options: dict[str, Any] = msgspec.field(default_factory=dict)
    seed: int = 0
    limits: Limits = Limits()
    source: str = ""
    versions: dict[str, str] = msgspec.field(default_factory=dict)


class Promotion(msgspec.Struct, frozen=True):
    """How a trial is trained on many engines.

    Attributes:
        epochs: to train; on top of its parent's where it begins with those.
        rule: how the learning rate follows the number of engines; none to leave it.
        warmup_epochs: over which it gets there.
    """

    epochs: int
    rule: Literal["linear", "sqrt", "none"] = "linear"
    warmup_epochs: float = 1.0


class TrialCreated(Event, frozen=True):
    """A trial waits to be started.

    Attributes:
        trial: its number, from 0, without gaps.
        params: its parameters.
        origin: who proposed them.
        parent: the trial that it was made of.
        warm: whether it begins with its parent's last checkpoint.
        priority: higher ones first, then older ones.
        needs: how many engines; None for what the limits say.
        notes: what the sampler wants to find again when the study is rebuilt.
        action: id of the action that asked for it.
        promotion: how it is trained, where it is a promotion.
    """

    trial: int
    params: dict[str, Value]
    origin: Origin = "sampler"
    parent: int | None = None
    warm: bool = False
    priority: int = 0
    needs: int | None = None
    notes: dict[str, Any] = msgspec.field(default_factory=dict)
    action: str = ""
    promotion: Promotion | None = None


class TrialStarted(Event, frozen=True):
    """A trial is trained on these engines, by rank."""

    trial: int
    engines: tuple[int, ...]


class RunOpened(Event, frozen=True):
    """A running trial tells more of itself as this run."""

    trial: int
    run: str


class Pruning(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a trial is told to leave, once it has reported.

    Attributes:
        why: in words.
        parent: whose checkpoint a trial in its place goes on from; None where there is none.
        params: of that trial.
    """

    why: str
    parent: int | None = None
    params: dict[str, Value] = msgspec.field(default_factory=dict)


class Reported(Event, frozen=True):
    """How a running trial stands.

    Attributes:
        trial: its number.
        step: of its own counting; a report of a step that was told before takes its place.
        metrics: by name.
        notes: what the pruner wants to find again when the study is rebuilt.
        pruning: None where it goes on.
    """

    trial: int
    step: int
    metrics: Mapping[str, Number]
    notes: dict[str, Any] = msgspec.field(default_factory=dict)
    pruning: Pruning | None = None


class TrialCheckpointed(Event, frozen=True):
    """A trial can go on from here on any engine."""

    trial: int
    step: int
    path: str


class TrialPaused(Event, frozen=True):
    """A trial has let go of its engines, or of its place in the queue.

    Attributes:
        trial: its number.
        for_trial: a promotion that needs the engines; the trial goes on after it by itself.
    """

    trial: int
    for_trial: int | None = None


class TrialResumed(Event, frozen=True):
    """A paused trial waits for engines again."""

    trial: int


class TrialCrashed(Event, frozen=True):
    """A running trial has lost its engines, or never had them, and waits to be started elsewhere.

    Attributes:
        trial: its number.
        engines: those that died of it, or all where nobody knows.
        why: what was seen.
        is_blamed: False where the engines went for a reason that is not the trial's.
    """

    trial: int
    engines: tuple[int, ...]
    why: str = ""
    is_blamed: bool = True


class TrialEnded(Event, frozen=True):
    """A trial is over for good.

    Attributes:
        trial: its number.
        state: how.
        why: in words.
        value: what it is judged by; None for the last that it reported.
    """

    trial: int
    state: EndState
    why: str = ""
    value: Number = None


class SamplerExhausted(Event, frozen=True):
    """The sampler has no further points, as a grid; changing a range gives it new ones."""


class AtWork(Event, frozen=True):
    """A process runs the search: what lies between its first and its last record is working time.

    Attributes:
        begins: whether it has just begun, after another one has ended or died; else it has only
            had nothing to record for a while.
    """

    begins: bool = False


class Reopened(Event, frozen=True):
    """A search goes on after its end: somebody wants more of it. Its time budget is lifted."""


class Action(msgspec.Struct, frozen=True, tag_field="action", omit_defaults=True):
    """Root of what a person can do to a search."""


class SetTrials(Action, frozen=True):
    """Let the sampler make so many trials in all; None for no end."""

    trials: int | None


class SetConcurrency(Action, frozen=True):
    """Let so many run at once; those that run go on. None for as many as there are engines."""

    concurrency: int | None


class SetTimeBudget(Action, frozen=True):
    """Seconds of work in all; None for no end."""

    time_budget_s: float | None


class SetPriority(Action, frozen=True):
    """Higher ones first."""

    trial: int
    priority: int


class SetRange(Action, frozen=True):
    """Narrow or extend the range of a parameter, for trials to come."""

    parameter: str
    dimension: AnyDimension


class Enqueue(Action, frozen=True):
    """Try a point that the person picked."""

    params: dict[str, Value]
    priority: int = 0


class Clone(Action, frozen=True):
    """Try a trial's point with some parameters edited, from its weights where ``warm``.

    Attributes:
        trial: to clone.
        params: all of the clone's, the edited and the others.
        warm: whether it begins with the trial's last checkpoint.
    """

    trial: int
    params: dict[str, Value]
    warm: bool = False


class Restart(Action, frozen=True):
    """Try a trial's point anew from the start; one that has not ended is stopped."""

    trial: int


class StopTrial(Action, frozen=True):
    """End a trial."""

    trial: int


class PauseTrial(Action, frozen=True):
    """Take a trial off its engines."""

    trial: int


class ResumeTrial(Action, frozen=True):
    """Let a paused trial go on."""

    trial: int


class SetLearningRate(Action, frozen=True):
    """Change the learning rate of a running trial."""

    trial: int
    learning_rate: float


class Promote(Action, frozen=True):
    """Train a trial's point on many engines; trials that are in its way wait until it is over.

    Attributes:
        trial: to promote.
        how: its epochs and its learning rate.
        warm: whether it goes on from the trial's last checkpoint.
        engines: how many; None for all.
    """

    trial: int
    how: Promotion
    warm: bool = True
    engines: int | None = None


class StopSearch(Action, frozen=True):
    """Start nothing more, stop every trial, and end the search."""


AnyAction = (
    SetTrials
    | SetConcurrency
    | SetTimeBudget
    | SetPriority
    | SetRange
    | Enqueue
    | Clone
    | Restart
    | StopTrial
    | PauseTrial
    | ResumeTrial
    | SetLearningRate
    | Promote
    | StopSearch
)


class Acted(Event, frozen=True):
    """Somebody has done something; the record's time says when.

    Attributes:
        id: unique; the same action may reach the search twice.
        who: user and host.
        action: what.
        before, after: what it changed, in a few words.
    """

    id: str
    who: str
    action: AnyAction
    before: str = ""
    after: str = ""


class ActionRefused(Event, frozen=True):
    """An action was not carried out; nothing has changed."""

    id: str
    who: str
    action: AnyAction
    reason: str


AnySearchEvent = (
    SearchBegan
    | TrialCreated
    | TrialStarted
    | RunOpened
    | Reported
    | TrialCheckpointed
    | TrialPaused
    | TrialResumed
    | TrialCrashed
    | TrialEnded
    | SamplerExhausted
    | AtWork
    | Reopened
    | Acted
    | ActionRefused
    | LogLine
    | StateChanged
    | Dropped
    | Ended
)


class Record(msgspec.Struct, frozen=True, gc=False):
    """An event and where it comes from, as ``telemetry.events.Record``.

    Attributes:
        run: id of the search.
        engine: ``DRIVER``, or telemetry's ``RECORDER``.
        seq: counts what that one tells of this search, from 0.
        time_s: seconds since the epoch, by the teller's clock.
        event: what happened.
    """

    run: str
    engine: int
    seq: int
    time_s: float
    event: AnySearchEvent


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """A record as one line of JSON, without the line's end."""
    return _ENCODER.encode(record)


def decode(chunk: journal.Chunk, of: str) -> list[Record]:
    """The records of a part of a search's journal.

    Args:
        chunk: as ``journal.read`` gives it.
        of: what the journal is called in errors.

    Raises:
        JournalError: a line is no record of a search that this version knows.
    """
    data = chunk.data
    if chunk.offset == 0 and data:
        end = data.index(b"\n") + 1
        journal.decode_header(data[:end], of)
        data = data[end:]
    try:
        return _DECODER.decode_lines(data)
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"A line of {of} after byte {chunk.offset} is no record of a search that this version"
            f" of interactive-dl ({journal.package_version()}) knows: {error}. A training's journal"
            " is opened with idl.open_run(...)."
        ) from error


def records(path: Path) -> Iterator[Record]:
    """All records of a search's journal, as they lie.

    Raises:
        JournalError: it cannot be read.
    """
    offset = 0
    while True:
        chunk = journal.read(path, offset)
        yield from decode(chunk, str(path))
        offset = chunk.next_offset
        if chunk.is_last:
            return
