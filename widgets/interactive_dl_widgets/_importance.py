"""Computes the importance of parameters while everything else goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from interactive_dl.errors import SearchError

_LEAST, _MOST = 8, 400
_GROWTH = 1.5


@dataclass(frozen=True)
class Computed:
    """How much each parameter matters.

    Attributes:
        shares: of the value's variance by parameter, the greatest first.
        of: so many finished trials.
        problem: why there is none; empty where nothing is wrong.
        is_computing: whether newer ones are on their way.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    of: int = 0
    problem: str = ""
    is_computing: bool = False


class Importance:
    """Owns the thread that computes; by itself it does so now and then while trials are few.

    Args:
        compute: gives the shares, or raises SearchError.
        changed: called when there is something new, from any thread.
        failed: called in the thread with any other error.
    """

    def __init__(
        self,
        compute: Callable[[], Mapping[str, float]],
        changed: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._compute = compute
        self._changed = changed
        self._failed = failed
        self._lock = threading.Lock()
        self._worker: ThreadPoolExecutor | None = None
        self._finished = 0
        self.now = Computed()

    def notice(self, finished: int) -> None:
        """So many trials have finished."""
        self._finished = finished
        if max(_LEAST, _GROWTH * self.now.of) <= finished <= _MOST:
            self.ask()

    def ask(self) -> None:
        """Compute, unless that is being done; returns at once."""
        with self._lock:
            if self.now.is_computing:
                return
            self.now = replace(self.now, is_computing=True)
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="importance")
            self._worker.submit(self._work, self._finished)
        self._changed()

    def close(self) -> None:
        """Wait for what is being computed, and end the thread."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown()

    def _work(self, finished: int) -> None:
        try:
            self.now = Computed(dict(self._compute()), finished)
        except SearchError as error:
            self.now = replace(self.now, of=finished, problem=str(error), is_computing=False)
        except Exception as error:  # noqa: BLE001 - it goes to whoever wants unexpected ones
            self.now = replace(self.now, of=finished, problem=str(error), is_computing=False)
            self._failed(error)
        finally:
            self._changed()
