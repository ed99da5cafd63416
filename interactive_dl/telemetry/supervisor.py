"""Keeps a program alive: a child process that is started again when it ends abnormally."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

_LOG = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_REST_S = 0.02


@dataclass
class Patience:
    """Ends with the ``deaths``-th death in ``within_s`` seconds."""

    deaths: int
    within_s: float
    _times_s: deque[float] = field(default_factory=deque)

    def is_over(self, now_s: float) -> bool:
        """Note a death."""
        self._times_s.append(now_s)
        while now_s - self._times_s[0] > self.within_s:
            self._times_s.popleft()
        return len(self._times_s) >= self.deaths


def supervise(program: Callable[[], None], patience: Patience, what: str, advice: str) -> int:
    """Run ``program`` in a child process, again and again until it returns.

    The child is forked: it starts in milliseconds, and knows the keys that are nowhere on disk.

    Args:
        program: what to run.
        patience: how many deaths are too many.
        what: how the log calls it: ``The recorder``.
        advice: what the log says when patience is over.

    Returns:
        0 after it returned, or SIGTERM; 1 when patience was over.
    """
    child = _Child()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, child.end)
    while True:
        child.start(program)
        status = child.wait()
        if child.is_ending or status == 0:
            return 0
        how = _how(status)
        if patience.is_over(time.monotonic()):
            _LOG.error(
                "%s %s, the %d. time in %g s: giving up. %s",
                what,
                how,
                patience.deaths,
                patience.within_s,
                advice,
            )
            return 1
        _LOG.warning("%s %s; it is started again.", what, how)
        time.sleep(_REST_S)


class _Child:
    """The process that runs the program.

    Attributes:
        is_ending: whether it was told to end.
    """

    def __init__(self) -> None:
        self.is_ending = False
        self._pid = 0

    def start(self, program: Callable[[], None]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._pid = pid
            if self.is_ending:  # told so while there was no child
                os.kill(pid, signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _die_with(parent)
        try:
            program()
        except BaseException:  # noqa: BLE001 - a fork must not run what its parent would
            _LOG.exception("It failed.")
            os._exit(1)
        os._exit(0)

    def wait(self) -> int:
        """Its exit code; minus the number of the signal that ended it."""
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Handle the supervisor's SIGTERM."""
        self.is_ending = True
        if self._pid:
            os.kill(self._pid, signal.SIGTERM)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it had ended before the kernel knew
        os._exit(1)


def _how(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"
