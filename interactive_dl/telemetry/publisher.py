"""Engine side of a run's telemetry: events go out, commands come in, and the training never waits.

Who trains calls ``publish`` and ``commands``, which take microseconds. A thread does the rest: it
sends to the cluster's recorder or, without one, writes the journal itself. What the recorder has
not acknowledged is kept and sent again when it was away. Reports and log lines that do not fit into
the buffer are dropped, counted, and told.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Protocol

from interactive_dl.errors import InteractiveDLWarning, JournalError
from interactive_dl.telemetry import _address, journal, wire
from interactive_dl.telemetry._line import Line, Wake, hello
from interactive_dl.telemetry._outbox import CAPACITY, Inbox, Outbox
from interactive_dl.telemetry.events import Event
from interactive_dl.telemetry.steering import Sent

_OPEN_TIMEOUT_S = 5.0
_PACE_S = 0.02
_BEAT_S = 1.0
_SILENCE_S = 3.0
_RETRY_S = 1.0
_LOG = logging.getLogger(__name__)


class Publisher(Protocol):
    """Where rank 0 tells its run's events, and hears commands."""

    def publish(self, event: Event) -> None:
        """Tell an event, from any thread, without waiting."""

    def commands(self) -> list[Sent]:
        """Commands that have come since the last call, in their order."""

    def wait_for_command(self, timeout_s: float) -> None:
        """Wait until a command is there, or the time is over."""

    def close(self, timeout_s: float) -> None:
        """Deliver what waits, and end the thread; may be called again.

        Warns:
            InteractiveDLWarning: something could not be delivered in time.
        """


def open(run: str, engine: int) -> Publisher:
    """Begin to tell a run.

    The recorder is that of the cluster that this process belongs to (``$IDL_CLUSTER``). Without
    one the journal is written here, into ``$IDL_RUNS`` or ``runs``.

    Args:
        run: id of the run.
        engine: stable id of this engine; 0 in a script.

    Raises:
        RecorderUnreachableError: the recorder does not answer.
        RecorderRefusedError: it speaks another version, or cannot write the journal.
        JournalError: the journal cannot be written.
    """
    cluster = os.environ.get(_address.CLUSTER_VARIABLE)
    if cluster and _address.path_in(Path(cluster)).exists():
        return RecorderPublisher(run, engine, _address.read(Path(cluster)))
    return JournalPublisher(run, engine, journal.path_of(journal.runs_folder(), run))


class RecorderPublisher:
    """Tells the recorder.

    Args:
        run, engine: what is told, and by whom.
        address: of the recorder.
        timeout_s: how long it may take to answer now.
        capacity: how many events may wait.
        pace_s: what is told within so long after something was sent goes together.
        gather_s: what is told within so long after the first word goes together with that; one
            that hurries ends it.

    Raises:
        RecorderUnreachableError: it does not answer.
        RecorderRefusedError: it answers with a refusal.
    """

    def __init__(
        self,
        run: str,
        engine: int,
        address: _address.Address,
        timeout_s: float = _OPEN_TIMEOUT_S,
        capacity: int = CAPACITY,
        pace_s: float = _PACE_S,
        gather_s: float = 0.0,
    ) -> None:
        self._run = run
        self._pace_s = pace_s
        self._gather_s = gather_s
        self._outbox = Outbox(run, engine, capacity)
        self._inbox = Inbox()
        self._wake = Wake()
        self._closes_s: float | None = None
        line = Line(address)
        try:
            welcome = line.greet(hello(run, engine), timeout_s)
        except BaseException:
            line.close()
            self._wake.close()
            raise
        self._outbox.begin_at(welcome.next_seq)
        self._call = _Call(line, hello(run, engine), self._outbox, self._inbox, self._wake)
        self._call.hear(welcome)
        self._is_woken = False
        self._hurries = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name=f"tell {run}", daemon=True)
        self._thread.start()

    def publish(self, event: Event, *, hurries: bool = False) -> None:
        """Tell an event, from any thread, without waiting."""
        self._outbox.put(event)
        if hurries:
            self._hurries.set()
        if not self._is_woken:
            self._is_woken = True
            self._wake.set()

    def commands(self) -> list[Sent]:
        """Commands that have come since the last call, in their order."""
        return self._inbox.take()

    def wait_for_command(self, timeout_s: float) -> None:
        """Wait until a command is there, or the time is over."""
        self._inbox.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Deliver what waits, and end the thread; may be called again."""
        if self._closes_s is not None:
            return
        self._closes_s = time.monotonic() + timeout_s
        self._hurries.set()
        self._wake.set()
        self._thread.join()
        self._wake.close()
        _warn_of(self._outbox.waiting, self._run, self._call.complaint or "the recorder is away")

    def _deliver(self) -> None:
        """The thread. New events wake it, but not more often than every ``pace_s``."""
        call = self._call
        while not self._is_done():
            self._wake.clear()
            self._is_woken = False
            self._hurries.clear()
            self._outbox.number()
            call.send_all()
            until_s = time.monotonic() + self._pace_s
            while (left_s := until_s - time.monotonic()) > 0 and self._closes_s is None:
                call.listen(left_s, None)
            call.listen(call.due_s(self._closes_s), self._wake)
            if self._is_woken and self._closes_s is None:
                self._hurries.wait(self._gather_s)
        call.hang_up()

    def _is_done(self) -> bool:
        if self._closes_s is None:
            return False
        return not self._outbox.waiting or time.monotonic() >= self._closes_s


class _Call:
    """The talk with the recorder: what was sent, and when to say Hello again.

    Attributes:
        complaint: why the recorder takes nothing; empty while it does.
    """

    def __init__(
        self, line: Line, greeting: wire.Hello, outbox: Outbox, inbox: Inbox, wake: Wake
    ) -> None:
        self.complaint = ""
        self._line = line
        self._greeting = greeting
        self._outbox = outbox
        self._inbox = inbox
        self._next_seq = 0
        self._is_welcome = True
        now_s = time.monotonic()
        self._heard_s = self._beat_s = self._greeted_s = self._moved_s = now_s

    def send_all(self) -> None:
        """Send what is new, or say Hello where that is due."""
        now_s = time.monotonic()
        is_stuck = self._next_seq > self._outbox.first_seq and now_s - self._moved_s > _SILENCE_S
        is_silent = now_s - self._heard_s > _SILENCE_S
        if (not self._is_welcome or is_stuck or is_silent) and now_s - self._greeted_s > _RETRY_S:
            self._greet()
        if not self._is_welcome:
            return
        while lines := self._outbox.batch(self._next_seq):
            if not self._line.send(wire.Publish(self._next_seq, lines)):
                break
            if self._next_seq == self._outbox.first_seq:
                self._moved_s = now_s
            self._next_seq += len(lines)
        if now_s - self._beat_s >= _BEAT_S and self._line.send(wire.Beat()):
            self._beat_s = now_s

    def listen(self, timeout_s: float, wake: Wake | None) -> None:
        """Wait for messages, and hear them."""
        self._line.wait(timeout_s, wake)
        while (message := self._line.receive()) is not None:
            self.hear(message)

    def hear(self, message: wire.FromRecorder) -> None:
        """Take a message in."""
        now_s = self._heard_s = time.monotonic()
        match message:
            case wire.Ack(next_seq=next_seq):
                if next_seq > self._outbox.first_seq:
                    self._moved_s = now_s
                    self.complaint = ""
                self._outbox.arrived(next_seq)
            case wire.HelloAck(next_seq=next_seq):
                self._outbox.arrived(next_seq)
                self._next_seq = max(next_seq, self._outbox.first_seq)
                self._is_welcome = True
                self._moved_s = now_s
            case wire.WhoAreYou():
                if self._is_welcome:  # it says so for every message that it does not expect
                    self._is_welcome = False
                    self._greet()
            case wire.Relay(sent=sent):
                self._inbox.put(sent)
            case wire.Refusal(reason=reason):
                if reason != self.complaint:
                    _LOG.error("The recorder refused: %s", reason)
                self.complaint = reason
                self._is_welcome = False

    def due_s(self, closes_s: float | None) -> float:
        """How long to wait when nothing happens."""
        due_s = self._beat_s + _BEAT_S
        if closes_s is not None or not self._is_welcome:
            due_s = min(due_s, time.monotonic() + _PACE_S)
        return max(0.0, due_s - time.monotonic())

    def hang_up(self) -> None:
        """Say goodbye."""
        self._line.send(wire.Bye())
        self._line.close()

    def _greet(self) -> None:
        self._is_welcome = False
        greeting = wire.Hello(
            self._greeting.protocol,
            self._greeting.version,
            self._greeting.run,
            self._greeting.engine,
            self._outbox.first_seq,
        )
        if self._line.send(greeting):
            self._greeted_s = time.monotonic()


class JournalPublisher:
    """Writes the journal itself; nobody can steer this run from outside.

    Args:
        run, engine: what is told, and by whom.
        path: of the journal.

    Raises:
        JournalError: it cannot be written.
    """

    def __init__(self, run: str, engine: int, path: Path, capacity: int = CAPACITY) -> None:
        self._run = run
        self._outbox = Outbox(run, engine, capacity)
        self._writer = journal.Writer.open(path, run)
        self._news = threading.Event()
        self._closes = threading.Event()
        self._complaint = ""
        self._thread = threading.Thread(target=self._deliver, name=f"write {run}", daemon=True)
        self._thread.start()

    def publish(self, event: Event) -> None:
        """Tell an event, from any thread, without waiting."""
        self._outbox.put(event)
        self._news.set()

    def commands(self) -> list[Sent]:
        """None: there is no recorder to bring any."""
        return []

    def wait_for_command(self, timeout_s: float) -> None:
        """Let the time pass."""
        self._closes.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Write what waits, and end the thread; may be called again."""
        if self._closes.is_set():
            return
        self._closes.set()
        self._news.set()
        self._thread.join(timeout_s)
        _warn_of(self._outbox.waiting, self._run, self._complaint)

    def _deliver(self) -> None:
        """The thread; it writes at most every ``_PACE_S``."""
        while not self._closes.is_set():
            self._news.wait()
            self._news.clear()
            self._write()
            self._closes.wait(_PACE_S if not self._complaint else _RETRY_S)
            if self._complaint:
                self._news.set()
        self._write()
        self._writer.close()

    def _write(self) -> None:
        self._outbox.number()
        while lines := self._outbox.batch(self._outbox.first_seq):
            try:
                self._writer.append(lines)
            except JournalError as error:
                if not self._complaint:
                    _LOG.error("%s The training goes on.", error)
                self._complaint = str(error)
                return
            self._complaint = ""
            self._outbox.arrived(self._outbox.first_seq + len(lines))


def _warn_of(lost: int, run: str, reason: str) -> None:
    if lost:
        warnings.warn(
            f"{lost} events of the run {run} could not be delivered before the end: {reason}. The"
            " journal ends before them.",
            InteractiveDLWarning,
            stacklevel=3,
        )
