"""How widgets are put together: cards in a grid that has as many columns as fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets

_STYLE = (Path(__file__).parent / "style.css").read_text()


def style() -> ipywidgets.HTML:
    """The style sheet, as a widget: it is in every page that shows the others."""
    return ipywidgets.HTML(style_text(), layout={"display": "none"})


def style_text() -> str:
    """The style sheet, as HTML."""
    return f"<style>{_STYLE}</style>"


def text() -> ipywidgets.HTML:
    """A place for HTML."""
    return ipywidgets.HTML(layout={"width": "100%"})


def card(*parts: ipywidgets.Widget) -> ipywidgets.VBox:
    """A frame around parts that belong together."""
    box = ipywidgets.VBox(parts, layout={"min_width": "0", "overflow": "hidden"})
    box.add_class("idl-card")
    return box


def row(*parts: ipywidgets.Widget) -> ipywidgets.HBox:
    """Parts side by side, in a further line where there is no room."""
    layout = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 4px"}
    return ipywidgets.HBox(parts, layout=layout)


def grid(*cells: ipywidgets.Widget, least_px: int = 400) -> ipywidgets.GridBox:
    """Cells of equal width, at least ``least_px`` wide."""
    columns = f"repeat(auto-fit, minmax(min({least_px}px, 100%), 1fr))"
    layout = {"grid_template_columns": columns, "grid_gap": "8px", "width": "100%"}
    return ipywidgets.GridBox(cells, layout=layout)


def button(label: str, icon: str, tooltip: str) -> ipywidgets.Button:
    """A small button with an icon."""
    return ipywidgets.Button(
        description=label, icon=icon, tooltip=tooltip, layout={"width": "auto", "min_width": "0"}
    )


def checkbox(label: str, tooltip: str) -> ipywidgets.Checkbox:
    """A checkbox as wide as its label."""
    return ipywidgets.Checkbox(
        description=label, tooltip=tooltip, indent=False, layout={"width": "auto"}
    )


class Question(ipywidgets.HBox):
    """Asks before something is done that cannot be undone; hidden while there is no question."""

    def __init__(self) -> None:
        self._text = ipywidgets.Label()
        self._yes, self._no = button("Yes", "", "Do it"), button("No", "", "Leave it")
        self._yes.button_style = "danger"
        self._act: Callable[[], object] | None = None
        self._yes.on_click(lambda _: self._answer(is_yes=True))
        self._no.on_click(lambda _: self._answer(is_yes=False))
        super().__init__((self._text, self._yes, self._no), layout={"display": "none"})

    def ask(self, text: str, act: Callable[[], object]) -> None:
        """Ask; ``act`` is called if the answer is yes."""
        self._text.value, self._act = text, act
        self.layout.display = "flex"

    def _answer(self, *, is_yes: bool) -> None:
        act, self._act = self._act, None
        self.layout.display = "none"
        if is_yes and act is not None:
            act()
