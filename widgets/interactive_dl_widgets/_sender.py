"""Sends what a person asks of a search, so that no button waits for an answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from interactive_dl.errors import InteractiveDLError
from interactive_dl_widgets.views.acts import Sent

if TYPE_CHECKING:
    from interactive_dl.search.events import AnyAction

_KEPT = 50


class Pending(Protocol):
    """An action that was passed on.

    Attributes:
        id: of the action.
    """

    id: str


class Sender:
    """Owns the thread that sends actions, one after another.

    Args:
        send: passes an action on, without waiting for the search's answer.
        changed: called, in the thread, when something has come of an action.
        failed: called in the thread with what ``send`` has raised, if it is no error of ours,
            which is shown beside the action.
    """

    def __init__(
        self,
        send: Callable[[AnyAction], Pending],
        changed: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._send = send
        self._changed = changed
        self._failed = failed
        self._lock = threading.Lock()
        self._sent: deque[Sent] = deque(maxlen=_KEPT)
        self._worker: ThreadPoolExecutor | None = None

    @property
    def sent(self) -> tuple[Sent, ...]:
        """The last actions, the oldest first."""
        with self._lock:
            return tuple(self._sent)

    def send(self, actions: Iterable[AnyAction]) -> None:
        """Have actions sent; returns at once."""
        with self._lock:
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="send actions")
            for action in actions:
                one = Sent(action, time.time())
                self._sent.append(one)
                self._worker.submit(self._pass_on, one)
        self._changed()

    def close(self) -> None:
        """Wait until all is sent, and end the thread."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown()

    def _pass_on(self, one: Sent) -> None:
        try:
            pending: Any = self._send(one.action)
        except InteractiveDLError as error:
            self._note(one, failure=str(error))
        except Exception as error:  # noqa: BLE001 - it goes to whoever wants unexpected ones
            self._note(one, failure=f"{type(error).__name__}: {error}")
            self._failed(error)
        else:
            self._note(one, id=pending.id)
        finally:
            self._changed()

    def _note(self, one: Sent, *, id: str = "", failure: str = "") -> None:
        with self._lock:
            if one in self._sent:
                self._sent[self._sent.index(one)] = replace(one, id=id, failure=failure)
