"""What waits between a training and its listeners: events on their way, commands that came."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import msgspec

from interactive_dl.telemetry.events import (
    AnyEvent,
    Dropped,
    Event,
    LogLine,
    Progress,
    Record,
    Resources,
    decode,
    encode,
)
from interactive_dl.telemetry.steering import Sent

CAPACITY = 10_000
"""Events that wait; at the usual five a second half an hour's."""
_BATCH_LINES = 500
_BATCH_BYTES = 2**18
_LOG = logging.getLogger(__name__)

_MAY_BE_DROPPED = (Progress, LogLine, Resources)
"""Told again and again; the others are few, and without them nobody knows how the run stands."""


class Outbox:
    """Events on their way: numbered when they leave the buffer, kept until they have arrived.

    Any thread may call ``put``; the rest is for the one that delivers.

    Args:
        run, engine: origin of the records.
        capacity: how many may wait, sent or not.
        wall_s: seconds since the epoch.

    Attributes:
        first_seq: number of the oldest record that is kept.
    """

    def __init__(
        self,
        run: str,
        engine: int,
        capacity: int = CAPACITY,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.first_seq = 0
        self._run = run
        self._engine = engine
        self._capacity = capacity
        self._wall_s = wall_s
        self._lock = threading.Lock()
        self._new: list[tuple[float, AnyEvent]] = []
        self._lines: deque[bytes] = deque()
        self._dropped = 0

    def put(self, event: Event) -> None:
        """Add an event; where the buffer is full, count it as dropped if it is one of many."""
        now_s = self._wall_s()
        with self._lock:
            is_full = len(self._new) + len(self._lines) >= self._capacity
            if is_full and isinstance(event, _MAY_BE_DROPPED):
                self._dropped += 1
            else:
                self._new.append((now_s, event))  # type: ignore[arg-type]

    def number(self) -> None:
        """Make records of what is new."""
        with self._lock:
            new, self._new = self._new, []
            # Room for one more: what was dropped is told after the events that came before it.
            if self._dropped and len(new) + len(self._lines) < self._capacity:
                new.append((self._wall_s(), Dropped(self._dropped)))
                self._dropped = 0
        for time_s, event in new:
            self._lines.append(self._line(time_s, event))

    def _line(self, time_s: float, event: AnyEvent) -> bytes:
        """An event that could not be read again must not spoil the journal, nor end the thread."""
        record = Record(self._run, self._engine, self.next_seq, time_s, event)
        try:
            line = encode(record)
            decode(line)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            text = f"{type(event).__name__} cannot be recorded: {error}"
            _LOG.error("%s", text)
            line = encode(msgspec.structs.replace(record, event=LogLine("engine", text)))
        return line

    @property
    def next_seq(self) -> int:
        """The number of the next record."""
        return self.first_seq + len(self._lines)

    @property
    def waiting(self) -> int:
        """Events that have not arrived, those that were dropped without a word included."""
        return len(self._new) + len(self._lines) + self._dropped

    def batch(self, seq: int) -> tuple[bytes, ...]:
        """Records from ``seq`` on, not more than make a handy message, at least one if any."""
        batch: list[bytes] = []
        size = 0
        for line in islice(self._lines, seq - self.first_seq, None):
            size += len(line)
            if batch and (size > _BATCH_BYTES or len(batch) == _BATCH_LINES):
                break
            batch.append(line)
        return tuple(batch)

    def begin_at(self, seq: int) -> None:
        """Number on from what an earlier process told; to be called before anything is numbered."""
        self.first_seq = seq

    def arrived(self, next_seq: int) -> None:
        """All before ``next_seq`` need not be kept."""
        while self._lines and self.first_seq < next_seq:
            self._lines.popleft()
            self.first_seq += 1


class Inbox:
    """Commands that have come; each once, however often it is delivered."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._commands: list[Sent] = []
        self._known: set[str] = set()

    def put(self, sent: Sent) -> None:
        """Add a command that was delivered, from any thread."""
        with self._news:
            if sent.id not in self._known:
                self._known.add(sent.id)
                self._commands.append(sent)
                self._news.notify_all()

    def take(self) -> list[Sent]:
        """Those that have come since the last call, in their order."""
        if not self._commands:  # called before every step
            return []
        with self._news:
            taken, self._commands = self._commands, []
        return taken

    def wait(self, timeout_s: float) -> None:
        """Until a command is there, or the time is over."""
        with self._news:
            self._news.wait_for(lambda: bool(self._commands), timeout_s)
