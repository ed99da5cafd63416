"""One event loop in a thread of its own, for work that blocking and async callers share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for callers that have no loop, and for those inside a running one.

    A notebook's cell is the second case: it cannot wait on its own loop. ``start`` and ``stop``
    may be called any number of times.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name=self._name, daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread, if it runs, and wait for it."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` and wait for its result; an interrupt cancels it."""
        future = self._submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` without blocking the caller's own loop."""
        return await asyncio.wrap_future(self._submit(work))

    def post(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` some time soon; for callbacks of other threads."""
        self._submit(work)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Any:
        self.start()
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)
