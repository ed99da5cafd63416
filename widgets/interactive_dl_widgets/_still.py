"""Pictures for readers of a saved notebook, who have no kernel and perhaps no network.

A still is an output of its own beside the widget's: the same drawing code, fed once. A page hides
it while the widget itself is alive there.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bokeh

from interactive_dl_widgets import _bokehjs

if TYPE_CHECKING:
    import ipywidgets
    from IPython.display import DisplayHandle

    from interactive_dl_widgets.figure import Figure

_SCRIPT = Path(__file__).parent / "figure.js"


Captioned = tuple[str, "Figure"]
"""HTML that stands above a figure, and the figure."""


class Still:
    """One picture in a notebook's outputs.

    Attributes:
        id: what the page knows it by.
    """

    def __init__(self) -> None:
        self.id = f"idl-{secrets.token_hex(6)}"
        self._handle: DisplayHandle | None = None

    def place(self, figures: Sequence[Captioned] = (), text: str = "") -> None:
        """Add the output to the cell that runs; without figures it is there but empty."""
        from IPython.display import display

        self._handle = display(self._bundle(figures, text), raw=True, display_id=self.id)

    def keep(self, figures: Sequence[Captioned], text: str = "") -> None:
        """Replace the picture, if it was placed."""
        if self._handle is not None:
            self._handle.update(self._bundle(figures, text), raw=True)

    def _bundle(self, figures: Sequence[Captioned], text: str) -> dict[str, str]:
        shown = html(self.id, figures, text) if figures else f'<div data-still="{self.id}"></div>'
        return {"text/html": shown, "text/plain": ""}


def view_of(widget: ipywidgets.DOMWidget) -> dict[str, Any]:
    """What displays a widget, and nothing where there is no kernel: a still says more."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}


def html(still: str, figures: Sequence[Captioned], text: str = "") -> str:
    """A page's part that shows figures as they are now, with all that it needs inside.

    Args:
        still: marks it, so that a live widget can hide it.
        figures: what to show.
        text: HTML above them.
    """
    cells = "".join(f'<div class="idl-cell">{caption}<div></div></div>' for caption, _ in figures)
    # "</" would end the script.
    messages = json.dumps([figure.document() for _, figure in figures]).replace("</", "<\\/")
    return f"""<div data-still="{still}" class="idl">{text}
<style>
.idl-cells {{ display: flex; flex-wrap: wrap; gap: 8px }}
.idl-cell {{ flex: 1 1 400px; min-width: 0 }}
</style>
<div class="idl-cells">{cells}</div>
<script type="module">
const {{ stills }} = await import("data:text/javascript;base64,{_script()}");
const library = () => Uint8Array.from(atob("{_library()}"), (letter) => letter.charCodeAt(0));
stills("{still}", "{bokeh.__version__}", {messages}, library);
</script></div>"""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@cache
def _script() -> str:
    return _text(_SCRIPT.read_bytes())


@cache
def _library() -> str:
    return _text(_bokehjs.gzipped())
