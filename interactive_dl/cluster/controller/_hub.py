"""ipyparallel's hub, whose knowledge of the engines outlives it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ipyparallel.controller import hub
from ipyparallel.controller.dictdb import DictDB

from interactive_dl.telemetry import exits

_REST = 4


class Tasks(DictDB):
    """What was asked and answered of late; the count of its bytes is no trait, which cost more
    for a short task than all else that is done to its record.
    """

    _buffer_bytes = 0


class Hub(hub.Hub):
    """The hub; its file of engines is whole at any moment.

    It has a line for every engine: were it written for each of a thousand that come together, that
    would take most of the hub's time. It takes a fifth at most; of some engines each is written.

    Attributes:
        restored: uuid by id of the engines that it took over from the hub before.
    """

    engine_state_file: str
    _is_loading = False
    _is_to_be_saved = False
    _rests_until_s = 0.0

    def __init__(self, **options: object) -> None:
        self.restored: dict[int, str] = {}
        super().__init__(**options)

    def _save_engine_state(self) -> None:
        """Write at once, or soon where that was done a moment ago; not while it is loaded."""
        if self._is_loading or self._is_to_be_saved:
            return
        rest_s = self._rests_until_s - time.monotonic()
        if rest_s <= 0:
            self._write_engine_state()
        else:
            self._is_to_be_saved = True
            self.loop.call_later(rest_s, self._write_engine_state)

    def _write_engine_state(self) -> None:
        """Write under a temporary name, then rename."""
        self._is_to_be_saved = False
        began_s = time.monotonic()
        whole = self.engine_state_file
        self.engine_state_file = f"{whole}.partial"
        try:
            super()._save_engine_state()
        finally:
            self.engine_state_file = whole
        os.replace(f"{whole}.partial", whole)
        now_s = time.monotonic()
        self._rests_until_s = now_s + _REST * (now_s - began_s)

    def _load_engine_state(self) -> None:
        self._is_loading = True
        super()._load_engine_state()
        self._is_loading = False
        self.restored = {engine: connector.uuid for engine, connector in self.engines.items()}

    def tell_deaths_again(self, folder: Path) -> None:
        """Tell of restored engines that are gone.

        Those that died while there was no hub may not have been able to say so, and clients that
        were not connected yet did not hear of those that did.
        """
        ended = exits.exits(folder)
        for engine, uuid in self.restored.items():
            if engine in ended:
                self.unregister_engine(b"", {"content": {"id": engine}})
            if engine not in self.engines:
                self.notify("unregistration_notification", {"id": engine, "uuid": uuid})

    def notify(self, kind: str, content: dict[str, object]) -> None:
        """Tell all clients."""
        self.session.send(self.notifier, kind, content=content)
