"""A thread that reads a journal to its end, whatever goes away and comes back meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from interactive_dl.errors import RecorderUnreachableError, TelemetryError
from interactive_dl.telemetry.feed import Feed, Source
from interactive_dl.telemetry.journal import Chunk

_LONG_POLL_S = 1.0
_RETRY_S = 0.5
_LINGER_S = 1.0
_PART_BYTES = 2**17  # what is made of them fits into a processor's cache, where adding it is faster


class Follower:
    """Reads on until the journal is over, or ``stop``.

    Args:
        name: of the thread.
        source: where the journal is.
        take: gets each part, in its order, in the thread.
        notice: called in the thread after each problem, and each part that makes it, or finds it,
            up to date; by ``stop``, too.
        lingers: whether to look now and then, once the journal is over, whether it goes on.

    Attributes:
        is_up_to_date: whether all has been read that was there when it began.
        problem: why it cannot be read; None while it can.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        take: Callable[[Chunk], None],
        notice: Callable[[], None],
        *,
        lingers: bool = False,
    ) -> None:
        self.is_up_to_date = False
        self.problem: TelemetryError | None = None
        self._source = source
        self._take_part = take
        self._notice = notice
        self._lingers = lingers
        self._feed: Feed | None = None
        self._stops = threading.Event()
        self._woken = threading.Event()
        self._offset = 0
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    @property
    def has_given_up(self) -> bool:
        """Whether it is no use to wait for it; for itself it never waits, in a callback."""
        is_itself = self._thread is threading.current_thread()
        return is_itself or self.problem is not None or self._stops.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> None:
        """Do not rest any longer: there may be something new."""
        self._woken.set()

    def stop(self) -> None:
        """End the thread and wait for it; from a callback, without waiting."""
        self._stops.set()
        self._woken.set()
        if feed := self._feed:
            feed.interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self._notice()  # whoever waits need not any more

    def _read(self) -> None:
        while not self._stops.is_set():
            try:
                self._feed = feed = self._source.feed()
                try:
                    if self._read_from(feed):
                        return
                finally:
                    self._feed = None
                    feed.close()
            except RecorderUnreachableError as error:
                self._fail(error)  # it may come back
            except TelemetryError as error:
                self._fail(error)
                return
            self._rest(_RETRY_S)

    def _read_from(self, feed: Feed) -> bool:
        """Read until the journal is over (True) or the feed has nothing to say (False)."""
        while not self._stops.is_set():
            piece = feed.read(self._offset, _LONG_POLL_S)
            if piece is None:
                return False
            for part in piece.chunk.parts(_PART_BYTES):
                self._take(part)
            if piece.is_over and not self._lingers:
                return True
            if piece.is_over:
                self._rest(_LINGER_S)
        return True

    def _rest(self, seconds: float) -> None:
        self._woken.wait(seconds)
        self._woken.clear()

    def _take(self, part: Chunk) -> None:
        self._take_part(part)
        self._offset = part.next_offset
        self.is_up_to_date |= part.is_last
        self.problem = None
        if self.is_up_to_date:  # to wake somebody for each part of the past would slow it down
            self._notice()

    def _fail(self, error: TelemetryError) -> None:
        self.problem = error
        self._notice()
