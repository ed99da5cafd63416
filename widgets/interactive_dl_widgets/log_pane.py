"""Lines of text that come in while somebody reads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget

from interactive_dl_widgets._family import close_all_in, hear_while_cells_run

_HERE = Path(__file__).parent
_MOST_LINES = 500

Line = tuple[str, str]
"""A stream and a text: ``stdout``, ``stderr``, ``engine`` or ``widget``."""


class LogPane(anywidget.AnyWidget):
    """Shows the last lines; a view that comes later gets all that are kept."""

    _esm = _HERE / "log_pane.js"
    _css = _HERE / "log_pane.css"

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._lock = threading.Lock()
        self._lines: deque[Line] = deque(maxlen=_MOST_LINES)
        self._is_viewed = False
        self.on_msg(self._hear)
        hear_while_cells_run(self)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is kept, the oldest first."""
        return tuple(self._lines)

    def append(self, lines: Sequence[Line]) -> None:
        """Add lines, from any thread."""
        with self._lock:
            self._lines.extend(lines)
            if lines and self._is_viewed:
                self.send({"lines": list(lines)[-_MOST_LINES:], "most": _MOST_LINES})

    def close(self) -> None:
        """Remove the pane from every page."""
        close_all_in(self)
        super().close()

    def _hear(self, _pane: LogPane, message: dict[str, Any], _buffers: list[bytes]) -> None:
        if message.get("type") == "hello":
            with self._lock:
                self._is_viewed = True
                lines = list(self._lines)
                self.send({"lines": lines, "most": _MOST_LINES, "view": message["view"]})
