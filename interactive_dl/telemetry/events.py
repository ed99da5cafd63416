"""What happens in a run: small frozen values, each recorded once.

A record is an event with its origin: ``(run, engine, seq)``. In a journal it is one line of JSON.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from interactive_dl.telemetry._figures import RankSpread, RankTimes, ResourceSpread
from interactive_dl.telemetry.steering import AnyCommand

RECORDER = -1
"""The ``engine`` of records that the recorder itself makes."""

Outcome = Literal["finished", "stopped", "interrupted", "failed", "lost"]
RunState = Literal["running", "paused", "regrouping"]
Stream = Literal["stdout", "stderr", "engine"]
Number = float | None
"""None where it is not finite: JSON has no NaN, and a training that diverges must be told, too."""


# They never form cycles, so the garbage collector need not look at them: reading is faster.
class Event(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True, gc=False):
    """Root of the events."""


class KnobState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number that can be changed while the run trains.

    Attributes:
        name: what ``run.set(name=...)`` calls it.
        value: when the run began.
        kind: ``float``, or ``int`` for what counts something.
        low, high: the limits, inclusive; None where there is none.
        needs: ``retrace`` where a change makes the step be compiled anew, else ``variable``.
    """

    name: str
    value: Number
    kind: Literal["float", "int"] = "float"
    low: float | None = None
    high: float | None = None
    needs: Literal["variable", "retrace"] = "variable"


class Started(Event, frozen=True):
    """A run begins.

    Attributes:
        name: of the run; several runs may share it.
        engines: stable ids, by rank.
        hosts: host names, by rank.
        epochs: how many there are to be in all.
        steps_per_epoch: None where the data does not tell.
        first_epoch: epochs finished before, by a run that this one resumes.
        first_step: steps finished before.
        samples_per_epoch: of all ranks together; None where the data does not tell.
        batch_size: samples per rank and step; None where the data does not tell.
        parameters: what the person wants to find again.
        knobs: what can be changed.
        versions: version by package.
        source: the program's text.
        environment: variables that the numbers depend on.
        ordinal: how many runs of this name the process had begun before.
        baseline_samples_per_s: of one rank alone, where it was measured or given.
        resumes_from: the checkpoint file that the same program goes on from, on other engines as
            well; empty where there is none, or where a search sees to that.
    """

    name: str
    engines: tuple[int, ...]
    hosts: tuple[str, ...]
    epochs: int
    steps_per_epoch: int | None = None
    first_epoch: int = 0
    first_step: int = 0
    samples_per_epoch: int | None = None
    batch_size: int | None = None
    parameters: dict[str, Any] = {}
    knobs: tuple[KnobState, ...] = ()
    versions: dict[str, str] = {}
    source: str = ""
    environment: dict[str, str] = {}
    ordinal: int = 0
    baseline_samples_per_s: float | None = None
    resumes_from: str = ""


class Standing(Event, frozen=True):
    """How the training stands after a step, but for where each rank's time went.

    Attributes:
        step: steps finished since the run began.
        epoch: epochs finished.
        batch: steps finished of the epoch that has begun.
        metrics: running means of the epoch, means over the ranks.
        learning_rate: of the last step.
        samples_per_s: of all ranks together; None where the data does not tell.
        step_time_s: of the slowest rank, mean since the last report.
    """

    step: int
    epoch: int
    batch: int
    metrics: Mapping[str, Number]
    learning_rate: Number
    samples_per_s: float | None = None
    step_time_s: float = 0.0


class Progress(Standing, frozen=True):
    """How the training stands after a step.

    Attributes:
        ranks: where each rank's time went; None where there are too many to tell each.
        spread: where their time went, then.
    """

    ranks: RankTimes | None = None
    spread: RankSpread | None = None


class EpochEnded(Event, frozen=True):
    """The ``epoch``-th epoch, from 1, is over after ``step`` steps; metrics include ``val_*``."""

    epoch: int
    step: int
    metrics: Mapping[str, Number]
    duration_s: float


class Evaluated(Event, frozen=True):
    """A validation that somebody asked for."""

    step: int
    metrics: Mapping[str, Number]


class CheckpointWritten(Event, frozen=True):
    """A checkpoint of this position is on disk."""

    step: int
    epoch: int
    path: str


class Resources(Event, frozen=True):
    """What the ranks' processes use.

    Attributes:
        cpu_percent: by rank, as are the next three; 100 is one core. Empty where there are too
            many ranks to tell each.
        rss_bytes: memory.
        gpu_percent, gpu_memory_bytes: where there are GPUs.
        spread: what they use, where there are too many.
    """

    cpu_percent: tuple[float, ...]
    rss_bytes: tuple[int, ...]
    gpu_percent: tuple[float, ...] = ()
    gpu_memory_bytes: tuple[int, ...] = ()
    spread: ResourceSpread | None = None


class LogLine(Event, frozen=True):
    """A line that somebody printed."""

    stream: Stream
    text: str


class StateChanged(Event, frozen=True):
    """The run trains, waits, or forms a new group."""

    state: RunState
    reason: str = ""


class RankLost(Event, frozen=True):
    """A rank has died, stalled or raised."""

    rank: int
    engine: int
    host: str
    last_step: int
    reason: str


class GroupChanged(Event, frozen=True):
    """The run goes on, after ``step``, on these engines, by rank."""

    engines: tuple[int, ...]
    hosts: tuple[str, ...]
    step: int
    reason: str = ""


class CommandSent(Event, frozen=True):
    """Somebody sent a command; the recorder notes it when it passes it on."""

    id: str
    who: str
    command: AnyCommand


class Change(msgspec.Struct, frozen=True):
    """A knob's value before and after."""

    name: str
    old: Number
    new: Number


class CommandApplied(Event, frozen=True):
    """All ranks have carried a command out after ``step``, or after the epoch that it ended."""

    id: str
    step: int
    changes: tuple[Change, ...] = ()
    at_epoch_end: bool = False


class CommandRefused(Event, frozen=True):
    """A command was not carried out; nothing has changed."""

    id: str
    reason: str


class Noted(Event, frozen=True):
    """What a program tells that is no training, such as a trial of a search; its own affair."""

    data: dict[str, Any]


class Dropped(Event, frozen=True):
    """So many events were dropped here, because nobody took them in time."""

    count: int


class Ended(Event, frozen=True):
    """A run is over, and how: ``lost`` where its engines went without a word."""

    outcome: Outcome
    reason: str = ""
    step: int = 0
    epoch: int = 0


OtherEvent = (
    Started
    | EpochEnded
    | Evaluated
    | CheckpointWritten
    | Resources
    | LogLine
    | StateChanged
    | RankLost
    | GroupChanged
    | CommandSent
    | CommandApplied
    | CommandRefused
    | Noted
    | Dropped
    | Ended
)
"""All but ``Progress``, of which nearly all of a journal is."""

AnyEvent = Progress | OtherEvent


class Record(msgspec.Struct, frozen=True, gc=False):
    """An event and where it comes from.

    Attributes:
        run: id of the run.
        engine: stable id of the engine that tells it; ``RECORDER`` for the recorder.
        seq: counts what this engine tells of this run, from 0.
        time_s: seconds since the epoch, by the teller's clock.
        event: what happened.
    """

    run: str
    engine: int
    seq: int
    time_s: float
    event: AnyEvent


def _plain(value: Any) -> Any:
    """NumPy's numbers as numbers; anything else (in a run's parameters) as it shows itself."""
    return value.item() if hasattr(value, "item") else repr(value)


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
_DECODER = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """A record as one line of JSON, without the line's end."""
    return _ENCODER.encode(record)


def decode(line: bytes) -> Record:
    """Read what ``encode`` wrote.

    Raises:
        msgspec.ValidationError: the line is no record of this version.
        msgspec.DecodeError: it is no JSON.
    """
    return _DECODER.decode(line)


def new_run_id(name: str) -> str:
    """An id for a new run: its name, made fit for a file's, the time, and a little chance."""
    fit = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "run"
    return f"{fit[:64]}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
