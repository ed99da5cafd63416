"""A Bokeh plot in a notebook, alive: columns go in, browsers show them.

The kernel sends BokehJS itself, once per page, over the widget's comm: no CDN, no further port.
Messages to a view: ``library`` (BokehJS, gzipped), ``document`` (the plot with all of its columns,
to the one view that said hello), ``columns`` (what has changed, to every view).
From a view: ``library``, ``hello``, and ``brush`` for a box that a person has drawn. Nothing is
sent back for what a view was sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import bokeh
import traitlets
from bokeh.document import Document
from bokeh.models import ColumnDataSource, LayoutDOM, Plot

from interactive_dl_widgets import _bokehjs, _columns
from interactive_dl_widgets._columns import Columns
from interactive_dl_widgets._family import close_all_in, hear_while_cells_run
from interactive_dl_widgets._still import Still, view_of

_HERE = Path(__file__).parent


class Box(NamedTuple):
    """What a person has drawn with the box select tool, in the coordinates of the axes."""

    x0: float
    x1: float
    y0: float
    y1: float


class Figure(anywidget.AnyWidget):
    """Shows a Bokeh plot whose data sources are found by their ``name``.

    ``draw`` may be called from any thread. A view that comes later - a reloaded page, a second
    cell - gets the plot with all that was drawn.

    Args:
        plot: a figure or a layout of figures; its sources have names.
        brushed: called with each box that a person has drawn, in the thread that brings it.
    """

    _esm = _HERE / "figure.js"
    _css = _HERE / "figure.css"
    _bokeh = traitlets.Unicode(bokeh.__version__).tag(sync=True)
    still = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, plot: LayoutDOM, brushed: Callable[[Box], None] | None = None, **traits: Any
    ) -> None:
        super().__init__(**traits)
        self._brushed = brushed
        self._lock = threading.RLock()
        self._is_viewed = False
        self._own_still: Still | None = None
        self._load(plot)
        self.on_msg(self._hear)
        hear_while_cells_run(self)

    def show(self, plot: LayoutDOM) -> None:
        """Show another plot instead; what was drawn before goes with the old one."""
        with self._lock:
            self._load(plot)
            if self._is_viewed:
                self._send_document(view=None)

    def draw(self, sources: Mapping[str, Columns]) -> None:
        """Give sources their columns; only rows that have changed are sent.

        Args:
            sources: columns by name of the source; sources that are missing stay as they are.

        Raises:
            KeyError: the plot has no source of this name.
            ValueError: the columns of a source are not equally long.
        """
        with self._lock:
            patches = {}
            for name, columns in sources.items():
                if change := _columns.patch(self._columns[name], columns):
                    patches[name] = change
                    self._columns[name] = columns
            if patches and self._is_viewed:
                changed, buffers = _columns.encode(patches)
                self.send({"type": "columns", "sources": changed}, buffers)

    def document(self) -> dict[str, Any]:
        """The message that shows the plot with all that was drawn."""
        with self._lock:
            for name, columns in self._columns.items():
                self._sources[name].data = dict(columns)
            assert self._plot.document is not None
            doc = self._plot.document.to_json(deferred=False)
        return {"type": "document", "doc": doc, "root": self._plot.id}

    def keep_still(self) -> None:
        """Put what is drawn now into the notebook, for readers without a kernel."""
        if self._own_still is not None:
            self._own_still.keep([("", self)])

    def close(self) -> None:
        """Remove the figure from every page; the notebook keeps a picture of it."""
        self.keep_still()
        close_all_in(self)
        super().close()

    def _ipython_display_(self) -> None:
        """Display the widget, and beside it what a reader sees who has no kernel."""
        from IPython.display import display

        if self._own_still is None:
            self._own_still = Still()
            self.still = self._own_still.id
        display(view_of(self), raw=True)
        self._own_still.place([("", self)])

    def _load(self, plot: LayoutDOM) -> None:
        sources = list(plot.select({"type": ColumnDataSource}))
        if not all(source.name for source in sources):
            raise ValueError("Every ColumnDataSource of the plot needs a name=, to be drawn by.")
        for each in plot.select({"type": Plot}):
            # The page is the ground. From the first painting on: BokehJS clears all but the
            # outermost half pixel, where white would stay.
            each.update(background_fill_color=None, border_fill_color=None)
        Document().add_root(plot)
        self._plot = plot
        self._sources: dict[str, ColumnDataSource] = {source.name: source for source in sources}
        self._columns: dict[str, Columns] = {source.name: dict(source.data) for source in sources}

    def _hear(self, _figure: Figure, message: dict[str, Any], _buffers: list[bytes]) -> None:
        match message:
            case {"type": "library"}:
                self.send({"type": "library"}, [_bokehjs.gzipped()])
            case {"type": "hello", "view": view}:
                with self._lock:
                    self._is_viewed = True
                    self._send_document(view)
            case {"type": "brush", "box": [x0, x1, y0, y1]} if self._brushed is not None:
                self._brushed(Box(min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)))

    def _send_document(self, view: str | None) -> None:
        self.send({**self.document(), "view": view})
