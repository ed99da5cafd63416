"""What is marked on a board's plots, and the range of a parameter, to be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets

from interactive_dl.errors import SearchError
from interactive_dl.search import events as e
from interactive_dl_widgets import _layout, render_search
from interactive_dl_widgets.views import brushes, form

if TYPE_CHECKING:
    from interactive_dl.search.ranges import AnyDimension
    from interactive_dl_widgets.search_controls import Send
    from interactive_dl_widgets.views.board import Scene


class Ranges:
    """What is marked on the plots, and the range of a parameter, to be changed.

    Args:
        send: sends actions.
        clear: called when a person takes the marks away.
    """

    def __init__(self, send: Send, clear: Callable[[], None]) -> None:
        self._send = send
        self._scene: Scene | None = None
        self._name = ""
        self._text = ipywidgets.HTML()
        self._use = _layout.button(
            "Make it the range", "compress", "For trials to come; those that ended still count"
        )
        self._clear = _layout.button("Clear", "eraser", "Take the marks away")
        self._use.on_click(lambda _: self._send(self._actions()))
        self._clear.on_click(lambda _: clear())
        self._parameter = ipywidgets.Dropdown(options=[""], layout={"width": "125px"})
        self._low, self._high = (ipywidgets.Text(layout={"width": "90px"}) for _ in range(2))
        self._options = ipywidgets.Text(layout={"width": "184px"})
        self._set = _layout.button("Set range", "arrows-h", "Narrow or extend it")
        self._set.on_click(lambda _: self._set_typed())
        self._problem = ipywidgets.HTML()
        self._parameter.observe(lambda change: self._choose(change["new"]), "value")
        editor = _layout.row(
            ipywidgets.Label("range of"),
            self._parameter,
            self._low,
            self._high,
            self._options,
            self._set,
        )
        marked = _layout.row(self._use, self._clear, self._text)
        self.box = ipywidgets.VBox((marked, editor, self._problem), layout={"overflow": "hidden"})

    def draw(self, scene: Scene) -> None:
        """Show what is marked, and what the range is."""
        is_new = self._scene is None or scene.book.range_version != self._version
        self._scene, self._version = scene, scene.book.range_version
        ended = scene.ended
        words = [brushes.words(ended.axis(name), one) for name, one in scene.brushes.items()]
        count = int(ended.within(scene.brushes).sum()) if words else 0
        self._text.value = render_search.brushed(words, count)
        is_over = scene.book.ended is not None
        self._use.disabled = is_over or not self._left()
        self._clear.disabled = not words
        self._set.disabled = is_over or scene.book.began is None
        names = tuple(scene.book.space.dimensions)
        if names and names != self._parameter.options:
            self._parameter.options = names
        if is_new:
            self._choose(self._parameter.value)

    _version = 0

    def _left(self) -> dict[str, AnyDimension]:
        scene = self._scene
        return {} if scene is None else brushes.ranges(scene.book.space, scene.brushes)

    def _actions(self) -> list[e.AnyAction]:
        return [e.SetRange(name, dimension) for name, dimension in self._left().items()]

    def _choose(self, name: str) -> None:
        """Show the range of a parameter, to be edited."""
        if self._scene is None or name not in self._scene.book.space.dimensions:
            return
        ends = form.ends(self._scene.book.space.dimensions[name])
        is_pair = not isinstance(ends, str)
        for control in (self._low, self._high):
            control.layout.display = None if is_pair else "none"
        self._options.layout.display = "none" if is_pair else None
        if isinstance(ends, str):
            self._options.value = ends
        else:
            self._low.value, self._high.value = ends

    def _set_typed(self) -> None:
        assert self._scene is not None
        name = self._parameter.value
        dimension = self._scene.book.space.dimensions[name]
        is_pair = not isinstance(form.ends(dimension), str)
        typed = (self._low.value, self._high.value) if is_pair else self._options.value
        try:
            self._send([e.SetRange(name, form.ranged(name, dimension, typed))])
        except SearchError as error:
            self._problem.value = render_search.problem(str(error))
        else:
            self._problem.value = ""
