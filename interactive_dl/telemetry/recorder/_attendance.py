"""Which engines attend, and which are given up. No sockets, no clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from interactive_dl.telemetry import wire
from interactive_dl.telemetry.exits import Exit, loss

_LOG = logging.getLogger(__name__)
SILENCE_S = 5.0
"""An engine whose watcher is not heard for so long, while others are, is expelled."""
_HEARD_S = 1.5
_LONGEST_TICK_S = 0.5


@dataclass
class _Attendee:
    host: str
    pid: int
    silent_s: float = 0.0


class Attendance:
    """Whoever is expelled stays so: the others may have gone on without it.

    While nobody at all is heard, it is the recorder's own host that is cut off, and nobody is
    expelled. How long it slept itself does not count either.

    Args:
        exits: engines that have ended, by id.
        record_exit: notes that one is expelled, for ``exits`` to tell from then on.
        wall_s: seconds since the epoch.
    """

    def __init__(
        self,
        exits: Callable[[], Mapping[int, Exit]],
        record_exit: Callable[[Exit], None],
        wall_s: Callable[[], float],
    ) -> None:
        self._exits = exits
        self._record_exit = record_exit
        self._wall_s = wall_s
        self._attending: dict[int, _Attendee] = {}
        self._dead: dict[int, str] = {}
        self._unwritten: list[Exit] = []
        self._ticked_s: float | None = None
        self._is_complained = False

    @property
    def is_kept(self) -> bool:
        """Whether engines attend at all, as they do without MPI."""
        return bool(self._attending)

    def attend(self, said: wire.Attend) -> wire.Roll:
        """An engine's watcher is heard."""
        if said.ended:
            self._bury(said.engine, said.ended)
        elif said.engine not in self._dead:
            self._attending[said.engine] = _Attendee(said.host, said.pid)
        return self.roll()

    def roll(self, request: int = 0) -> wire.Roll:
        """The dead, and why."""
        return wire.Roll(request, dict(self._dead))

    def tick(self, now_s: float) -> None:
        """Let time pass; to be called several times a second."""
        passed_s = min(now_s - (self._ticked_s or now_s), _LONGEST_TICK_S)
        self._ticked_s = now_s
        self._write_down()
        if not self._attending:
            return
        for engine, ended in self._exits().items():
            self._bury(engine, ended.reason)
        if all(one.silent_s > _HEARD_S for one in self._attending.values()):
            return
        for engine, attendee in list(self._attending.items()):
            attendee.silent_s += passed_s
            if attendee.silent_s > SILENCE_S:
                self._expel(engine, attendee)

    def _expel(self, engine: int, attendee: _Attendee) -> None:
        why = f"it was cut off: the recorder had not heard from it for {SILENCE_S:g} s"
        ended = loss(engine, attendee.host, attendee.pid, why, self._wall_s())
        self._unwritten.append(ended)
        self._write_down()
        self._bury(engine, ended.reason)

    def _write_down(self) -> None:
        """Note who was expelled, as soon as that can be written: a quota may be full."""
        while self._unwritten:
            try:
                self._record_exit(self._unwritten[0])
            except OSError as error:
                if not self._is_complained:
                    _LOG.warning("How engines ended is written once it can be: %s", error)
                self._is_complained = True
                return
            self._is_complained = False
            del self._unwritten[0]

    def _bury(self, engine: int, reason: str) -> None:
        self._dead.setdefault(engine, reason)
        self._attending.pop(engine, None)
