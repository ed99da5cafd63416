"""What goes between the recorder and those who call it: one msgpack message a frame.

    a run's engine                 Hello ──> HelloAck | Refusal
      (Publisher)                Publish ──> Ack, cumulative: all before next_seq are in the journal
                                    Beat ──> Ack
                                         <── Relay: a command for the run
                                         <── WhoAreYou: say Hello again, I have been restarted
                                     Bye
    an engine's watcher           Attend ──> Roll, of the dead: it is to end if it is on it
      (Attendee)
    an engine                   CallRoll ──> Roll
      (RollCall)
    a notebook                     Hello ──> HelloAck | Refusal
      (RecorderFeed)            ListRuns ──> RunList
                                    Read ──> Part, at once if there is something, or after a while
                                    Send ──> Passed | Refusal
    whoever takes engines away    Vacate ──> Passed
    who is on another host         Begin ──> Begun | Refusal

A connection is a peer; one that was lost and comes back is another. What a notebook asks carries a
number that the answer repeats.
"""

from __future__ import annotations

import msgspec

from interactive_dl.telemetry.beside import Started
from interactive_dl.telemetry.steering import Sent

PROTOCOL = 3
"""Counts what cannot be understood by older versions. ``Hello`` and ``Refusal`` never change."""


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Root of the messages."""


class Hello(Message, frozen=True):
    """The first message of a connection.

    Attributes:
        protocol: of the caller.
        version: of the caller's package.
        run: that it will tell; empty for a notebook.
        engine: stable id of the engine that tells.
        first_seq: the oldest record that it could still send.
    """

    protocol: int
    version: str
    run: str = ""
    engine: int = 0
    first_seq: int = 0


class HelloAck(Message, frozen=True):
    """Welcome; go on with record ``next_seq``."""

    next_seq: int


class Refusal(Message, frozen=True):
    """What was asked for is not done."""

    reason: str
    request: int = 0


class WhoAreYou(Message, frozen=True):
    """The recorder does not know this connection, or has missed something: say Hello."""


class Publish(Message, frozen=True):
    """Records of the run, numbered on from ``first_seq``, each encoded as a line."""

    first_seq: int
    lines: tuple[bytes, ...]


class Ack(Message, frozen=True):
    """All records before ``next_seq`` are in the journal."""

    next_seq: int


class Beat(Message, frozen=True):
    """The engine lives."""


class Bye(Message, frozen=True):
    """The engine has nothing more to tell of this run."""


class Relay(Message, frozen=True):
    """A command for the run; may come twice."""

    sent: Sent


class Attend(Message, frozen=True):
    """An engine lives, or has ended.

    Attributes:
        engine: its id.
        host: host name.
        pid: of its watcher, which says so.
        ended: how it has ended; empty while it lives.
    """

    engine: int
    host: str
    pid: int
    ended: str = ""


class CallRoll(Message, frozen=True):
    """Who is dead?"""

    request: int


class Roll(Message, frozen=True):
    """Engines that have ended or were expelled, by id, and why."""

    request: int
    dead: dict[int, str]


class ListRuns(Message, frozen=True):
    """Which runs are there?"""

    request: int


class RunSummary(Message, frozen=True):
    """A run as a list shows it.

    Attributes:
        run: its id.
        name: its name, as far as that fits a file's.
        began_s: seconds since the epoch.
        outcome: how it ended; None while it goes on, or where nobody said.
        size_bytes: of its journal.
    """

    run: str
    name: str
    began_s: float
    outcome: str | None
    size_bytes: int


class RunList(Message, frozen=True):
    """All runs, the newest last."""

    request: int
    runs: tuple[RunSummary, ...]


class Read(Message, frozen=True):
    """A part of a run's journal, from ``offset`` on; wait up to ``wait_ms`` if there is none."""

    request: int
    run: str
    offset: int
    wait_ms: int
    limit_bytes: int


class Part(Message, frozen=True):
    """Whole lines of a journal.

    Attributes:
        request: the number of the question.
        offset: where they begin, in bytes.
        data: the lines.
        size: of the whole journal.
        is_over: whether the run has ended and nothing comes after this.
    """

    request: int
    offset: int
    data: bytes
    size: int
    is_over: bool


class Send(Message, frozen=True):
    """A command for a run."""

    request: int
    run: str
    sent: Sent


class Vacate(Message, frozen=True):
    """Have all that runs on some engines, now or later, let go of them, after a checkpoint.

    Attributes:
        request: the number of the question.
        who: takes them away, and why; what the same one has said before is forgotten.
        engines: their ids.
        in_s: seconds until then, in which their own end, or somebody who takes them earlier, makes
            this void; infinite for never, which gives them back.
    """

    request: int
    who: str
    engines: tuple[int, ...]
    in_s: float = 0.0


class Begin(Message, frozen=True):
    """Start a Python program of this package beside the recorder; it outlives it.

    Attributes:
        request: the number of the question.
        id: of the wish; one that comes again starts nothing more.
        words: ``-m``, a module, and its arguments.
        log: file name in the cluster's folder; appended to.
    """

    request: int
    id: str
    words: tuple[str, ...]
    log: str


class Begun(Message, frozen=True):
    """The program runs."""

    request: int
    started: Started


class Passed(Message, frozen=True):
    """The command is in the journal and on its way to the run."""

    request: int


ToRecorder = (
    Hello | Publish | Beat | Bye | Attend | CallRoll | ListRuns | Read | Send | Vacate | Begin
)
FromRecorder = HelloAck | Refusal | WhoAreYou | Ack | Relay | Roll | RunList | Part | Passed | Begun

_ENCODER = msgspec.msgpack.Encoder()
_TO_RECORDER = msgspec.msgpack.Decoder(ToRecorder)
_FROM_RECORDER = msgspec.msgpack.Decoder(FromRecorder)


def encode(message: Message) -> bytes:
    """A message as one frame."""
    return _ENCODER.encode(message)


def to_recorder(frame: bytes) -> ToRecorder:
    """Read a caller's message.

    Raises:
        msgspec.MsgspecError: it is none that this version knows.
    """
    return _TO_RECORDER.decode(frame)


def from_recorder(frame: bytes) -> FromRecorder:
    """Read the recorder's message.

    Raises:
        msgspec.MsgspecError: it is none that this version knows.
    """
    return _FROM_RECORDER.decode(frame)
