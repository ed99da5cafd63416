"""A table of thousands of trials, alive: rows go in when they change, browsers sort and filter.

Messages to a view: ``table`` (the columns and all rows, to the one view that said hello), ``rows``
(those that have changed, to every view); rows travel as JSON in a buffer. From a view: ``hello``.
What a person has selected, sorted by and filtered for are traits: they outlive the page.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import msgspec
import traitlets

from interactive_dl_widgets._family import close_all_in, hear_while_cells_run
from interactive_dl_widgets.views.trials import Column, Row

_HERE = Path(__file__).parent


class TrialTable(anywidget.AnyWidget):
    """Shows rows by the trial's number, which is each row's first cell.

    ``draw`` may be called from any thread. A view that comes later gets all rows.

    Attributes:
        selected: numbers of the trials that a person has selected, in the order of selecting.
        colours: of the marks of trials that are drawn elsewhere, by number as a text.
        sort: name of a column, and ``asc`` or ``desc``.
        states: only these are shown; all where there are none.
        words: what rows must have: texts, and comparisons such as ``lr<1e-3``.
    """

    _esm = _HERE / "trial_table.js"
    _css = _HERE / "trial_table.css"
    selected = traitlets.List(traitlets.Int()).tag(sync=True, echo_update=False)
    colours = traitlets.Dict().tag(sync=True)
    sort = traitlets.List(["trial", "desc"]).tag(sync=True, echo_update=False)
    states = traitlets.List(traitlets.Unicode()).tag(sync=True, echo_update=False)
    words = traitlets.Unicode().tag(sync=True, echo_update=False)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._lock = threading.Lock()
        self._columns: tuple[Column, ...] = ()
        self._rows: dict[int, Row] = {}
        self._is_viewed = False
        self.on_msg(self._hear)
        hear_while_cells_run(self)

    @property
    def rows(self) -> dict[int, Row]:
        """All rows by number."""
        with self._lock:
            return dict(self._rows)

    def draw(self, columns: tuple[Column, ...], rows: Sequence[Row]) -> None:
        """Add rows, or put them in the place of those with the same number.

        Args:
            columns: what the cells are; other ones than before replace the whole table.
            rows: those that are new or have changed.
        """
        with self._lock:
            is_other = columns != self._columns
            if is_other:
                self._columns, self._rows = columns, {}
            changed = [row for row in rows if self._rows.get(row[0]) != row]
            self._rows.update((row[0], row) for row in changed)
            if not self._is_viewed:
                return
            if is_other:
                self._send_table(view=None)
            elif changed:
                self.send({"type": "rows"}, [msgspec.json.encode(changed)])

    def close(self) -> None:
        """Remove the table from every page."""
        close_all_in(self)
        super().close()

    def _hear(self, _table: TrialTable, message: dict[str, Any], _buffers: list[bytes]) -> None:
        if message.get("type") == "hello":
            with self._lock:
                self._is_viewed = True
                self._send_table(message["view"])

    def _send_table(self, view: str | None) -> None:
        columns = [asdict(column) for column in self._columns]
        rows = msgspec.json.encode(list(self._rows.values()))
        self.send({"type": "table", "columns": columns, "view": view}, [rows])
