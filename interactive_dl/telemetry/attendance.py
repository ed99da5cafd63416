"""Who lives, as the recorder knows it: engines' watchers attend, engines ask for the roll.

Engines of a cluster whose collectives are Gloo's have no MPI that would tell of a death, and a host
that is cut off tells nobody. So every engine's watcher says twice a second that it is there.
Whoever is not heard for a while is expelled for good (``recorder/_attendance.py``), and ends when
it hears of it.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import NamedTuple

from interactive_dl.errors import RecorderUnreachableError
from interactive_dl.telemetry import _address, exits, wire
from interactive_dl.telemetry._line import Line

PERIOD_S = 0.5
_ASK_EVERY_S = 0.05
_QUESTIONS = itertools.count(1)


class Access(NamedTuple):
    """What engines need to listen to each other.

    Attributes:
        host: of the recorder.
        public_key: of all who belong to the cluster, in Z85.
        secret_key: the secret key to it.
    """

    host: str
    public_key: str
    secret_key: str


def access(folder: Path) -> Access:
    """What the cluster's folder tells its own user only.

    Raises:
        RecorderUnreachableError: it does not tell.
    """
    address = _address.read(folder)
    host = address.endpoint.removeprefix("tcp://").rpartition(":")[0]
    return Access(host, address.client_key, address.client_secret)


class Attendee:
    """One engine's watcher at the recorder's.

    Args:
        folder: the cluster's folder.
        engine: id of the engine.
    """

    def __init__(self, folder: Path, engine: int) -> None:
        self._folder = folder
        self._engine = engine
        self._line: Line | None = None
        self._said_s = 0.0

    def attend(self) -> str:
        """Say, twice a second at most, that the engine lives.

        Returns:
            Why it was expelled; empty while it was not, as far as is known.
        """
        now_s = time.monotonic()
        if now_s - self._said_s >= PERIOD_S and self._connect():
            self._said_s = now_s
            self._say("")
        return self._hear()

    def leave(self, reason: str) -> None:
        """Say that the engine has ended, and why; waits for the answer, but not for long."""
        if self._connect():
            self._say(reason)
            assert self._line is not None
            self._line.wait(PERIOD_S)
            self._line.close()

    def _connect(self) -> bool:
        """Whether there is a line; the recorder may be later than the engine."""
        if self._line is None:
            try:
                self._line = Line(_address.read(self._folder))
            except RecorderUnreachableError:
                return False
        return True

    def _say(self, ended: str) -> None:
        assert self._line is not None
        self._line.send(wire.Attend(self._engine, socket.gethostname(), os.getpid(), ended))

    def _hear(self) -> str:
        reason = ""
        while self._line is not None and (answer := self._line.receive()) is not None:
            if isinstance(answer, wire.Roll):
                reason = answer.dead.get(self._engine, reason)
        return reason


class RollCall:
    """The dead, as far as an engine knows; for one thread.

    Args:
        folder: the cluster's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line: Line | None = None
        self._dead: frozenset[int] = frozenset()
        self._looked_s = 0.0

    def dead(self) -> frozenset[int]:
        """Ids of the dead by the latest news; asks for newer ones without waiting."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _ASK_EVERY_S:
            self._looked_s = now_s
            line = self._connect()
            line.send(wire.CallRoll(0))
            while (answer := line.receive()) is not None:
                self._note(answer)
            self._dead |= frozenset(exits.exits(self._folder))
        return self._dead

    def ask(self, timeout_s: float) -> frozenset[int]:
        """Ids of the dead, as the recorder knows them now.

        Raises:
            RecorderUnreachableError: it does not answer.
        """
        self._note(self._connect().ask(wire.CallRoll(next(_QUESTIONS)), timeout_s))
        return self._dead

    def _connect(self) -> Line:
        if self._line is None:
            self._line = Line(_address.read(self._folder))
        return self._line

    def _note(self, answer: wire.FromRecorder) -> None:
        if isinstance(answer, wire.Roll):
            self._dead |= frozenset(answer.dead)
