"""Draws again when something has happened, but not more often than a person can see."""

from __future__ import annotations

import atexit
import sys
import threading
import time
import weakref
from collections.abc import Callable

import zmq.utils.garbage  # noqa: F401 - see _end_all

_LEAST_SHARE = 4
"""Drawing leaves at least four times as long as it took for everything else in the kernel."""

_running: weakref.WeakSet[Refresher | Clock] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Send what was drawn to its end, and nothing more, while the kernel exits.

    From some moment on pyzmq refuses a large message between two of its parts, which spoils the
    next message, too. Its collector is imported before, so that this here runs before that moment.
    """
    for one in list(_running):
        one.stop()
    sys.stdout.flush()


class Refresher:
    """Owns the thread that draws: ``poke`` it as often as you like, from any thread.

    Args:
        draw: draws everything as it is now; called from the thread only.
        interval_s: the least time between two beginnings.
    """

    def __init__(self, draw: Callable[[], None], interval_s: float) -> None:
        self._draw = draw
        self._interval_s = interval_s
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if it does not run; it draws at once."""
        with self._starting:
            if self._thread is None:
                self._ending.clear()
                self._changed.set()
                self._thread = threading.Thread(target=self._run, name="redraw", daemon=True)
                self._thread.start()
                _running.add(self)

    def poke(self) -> None:
        """Something has changed."""
        self._changed.set()

    def stop(self) -> None:
        """End the thread, if it runs, and wait for it; what changed before is drawn."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            self._changed.set()
            if thread is not threading.current_thread():
                thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._changed.wait()
            is_last = self._ending.is_set()
            self._changed.clear()
            began_s = time.monotonic()
            self._draw()
            took_s = time.monotonic() - began_s
            self._ending.wait(max(self._interval_s - took_s, _LEAST_SHARE * took_s))
            if self._ending.is_set():
                self._changed.set()


class Clock:
    """Owns a thread that calls back again and again.

    Args:
        tick: what to call.
        interval_s: how often.
    """

    def __init__(self, tick: Callable[[], None], interval_s: float) -> None:
        self._tick = tick
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if it does not run."""
        with self._starting:
            if self._thread is None:
                self._ending.clear()
                self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
                self._thread.start()
                _running.add(self)

    def stop(self) -> None:
        """End the thread, if it runs, and wait for it."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            self._tick()
