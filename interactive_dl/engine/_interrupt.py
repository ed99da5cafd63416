"""SIGINT during a distributed training: a stop that all ranks agree on, not an exception on one.

An exception on one rank leaves the others in the next allreduce; one inside a collective leaves
them there for ever, where no signal reaches them. So the handler only counts; the next step carries
a flag in its control word, all ranks see it, and all of them leave after that step.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Three within a training: the person does not believe that it will stop.
_PATIENCE = 3
_LATE_SIGNAL_S = 0.3
_POLL_S = 0.002


class AgreedInterrupt(KeyboardInterrupt):
    """All ranks of the group stopped after the same step; nobody waits for anybody."""


class Signals:
    """Counts the interrupts that this process got since it began to listen."""

    def __init__(self) -> None:
        self.count = 0

    def await_first(self) -> None:
        """Wait a moment for this rank's own signal, if there is one to come.

        An interrupt is sent to one engine after the other. The step may have ended, and the others
        with it, before the last one gets its own: that would strike whatever comes after.
        """
        deadline_s = time.monotonic() + _LATE_SIGNAL_S
        while not self.count and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)


@contextmanager
def listening() -> Iterator[Signals]:
    """Count SIGINTs instead of raising ``KeyboardInterrupt``; the training looks at the count.

    The third one raises after all: a rank that waits for a disk never gets to the next step.
    Outside of the main thread, which alone can listen, nothing changes.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        signals.count += 1
        if signals.count >= _PATIENCE:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGINT, previous)
