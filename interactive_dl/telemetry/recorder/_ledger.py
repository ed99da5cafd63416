"""One run that is being recorded: its journal, and what is known from it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import events, journal
from interactive_dl.telemetry.events import RECORDER
from interactive_dl.telemetry.steering import Sent

_LOG = logging.getLogger(__name__)


class UnreadableError(Exception):
    """A line that an engine published is not the record that it should be."""


@dataclass
class Speaker:
    """An engine that tells a run.

    Attributes:
        peer: its connection.
        engine: its stable id.
        heard_s: when it was heard last.
    """

    peer: bytes
    engine: int
    heard_s: float


class Ledger:
    """A journal that is open for writing, and what the recorder must know of its run.

    Attributes:
        run: id of the run.
        outcome: how it ended; None while it goes on.
        engines: of its group, as it told last.
        speakers: those who tell it, by engine.
        unanswered: commands that the run has not answered, by id.
        command_ids: of all commands.
        heard_s: when it was last heard of a run that nobody speaks for.
        last_word: why nobody speaks for it.
    """

    def __init__(self, run: str, writer: journal.Writer, now_s: float) -> None:
        self.run = run
        self.outcome: str | None = None
        self.engines: tuple[int, ...] = ()
        self.speakers: dict[int, Speaker] = {}
        self.unanswered: dict[str, Sent] = {}
        self.command_ids: set[str] = set()
        self.heard_s = now_s
        self.last_word = "no engine has spoken for it since the recorder was restarted"
        self._writer = writer
        self._next: dict[int, int] = {}
        self._complaint = ""

    @classmethod
    def open(cls, path: Path, run: str, cluster: str, now_s: float) -> Ledger:
        """Begin a run's journal, or read it and go on.

        Raises:
            JournalError: it cannot be read or written.
        """
        ledger = cls(run, journal.Writer.open(path, run, cluster), now_s)
        try:
            for line in _lines(path):
                ledger._learn(journal.brief(line), line)
        except msgspec.MsgspecError as error:
            ledger.close()
            raise JournalError(
                f"A journal has one record a line, but {path} does not: {error}."
            ) from error
        return ledger

    def expect(self, engine: int, at_least: int = 0) -> int:
        """The number of the engine's next record; it cannot send those before ``at_least``."""
        self._next[engine] = max(self._next.get(engine, 0), at_least)
        return self._next[engine]

    def admit(self, peer: bytes, engine: int, now_s: float) -> Speaker:
        """An engine speaks for the run."""
        self.speakers[engine] = Speaker(peer, engine, now_s)
        return self.speakers[engine]

    def dismiss(self, speaker: Speaker, reason: str, now_s: float) -> None:
        """An engine does not speak for the run any more."""
        if self.speakers.get(speaker.engine) is speaker:
            del self.speakers[speaker.engine]
            self.heard_s, self.last_word = now_s, reason

    @property
    def size(self) -> int:
        """Bytes of the journal."""
        return self._writer.size

    def record(self, engine: int, lines: Sequence[bytes]) -> journal.Chunk | None:
        """Append an engine's next records.

        Returns:
            What was appended; None where there was nothing new.

        Raises:
            UnreadableError: one is not; none was appended.
            JournalError: none could be appended.
        """
        if not lines:
            return None
        briefs = [
            self._checked(line, engine, seq) for seq, line in enumerate(lines, self.expect(engine))
        ]
        written = self._writer.append(lines)
        self._complaint = ""
        for brief, line in zip(briefs, lines, strict=True):
            self._learn(brief, line)
        return written

    def tell(self, event: events.AnyEvent, time_s: float) -> journal.Chunk:
        """Append a record of the recorder's own.

        Returns:
            What was appended.

        Raises:
            JournalError: it could not be appended.
        """
        record = events.Record(self.run, RECORDER, self.expect(RECORDER), time_s, event)
        line = events.encode(record)
        written = self._writer.append([line])
        self._learn(journal.brief(line), line)
        return written

    def complain(self, problem: str) -> None:
        """Log what is wrong, once until it is better."""
        if problem != self._complaint:
            _LOG.error("%s", problem)
            self._complaint = problem

    def close(self) -> None:
        """Let go of the journal."""
        self._writer.close()

    def _checked(self, line: bytes, engine: int, seq: int) -> journal.Brief:
        try:
            brief = journal.brief(line)
        except msgspec.MsgspecError as error:
            raise UnreadableError(f"A published line must be a record, but: {error}.") from error
        if (brief.run, brief.engine, brief.seq) != (self.run, engine, seq) or b"\n" in line:
            raise UnreadableError(
                f"Record {seq} of engine {engine} of {self.run} was expected, but got"
                f" {line[:200]!r}"
            )
        return brief

    def _learn(self, record: journal.Brief, line: bytes) -> None:
        self._next[record.engine] = max(self._next.get(record.engine, 0), record.seq + 1)
        event = record.event
        match event.kind:
            case "Started" | "GroupChanged":
                self.engines = event.engines
            case "Ended":
                self.outcome = event.outcome
            case "StateChanged" if record.engine == RECORDER:
                self.outcome = None
            case "CommandSent":
                full = events.decode(line).event
                assert isinstance(full, events.CommandSent)
                self.command_ids.add(full.id)
                self.unanswered[full.id] = Sent(full.id, full.who, full.command)
            case "CommandApplied" | "CommandRefused":
                self.unanswered.pop(event.id, None)


def _lines(path: Path) -> Iterator[bytes]:
    """All records' lines; the first line of the file is none."""
    chunk = journal.read(path, 0)
    yield from chunk.data.splitlines()[1:]
    while not chunk.is_last:
        chunk = journal.read(path, chunk.next_offset)
        yield from chunk.data.splitlines()
