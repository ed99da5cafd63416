"""Widgets within widgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ipywidgets


def parts_of(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """All that is in a widget, with layouts and styles, what lies deepest first."""
    for child in getattr(widget, "children", ()):
        yield from parts_of(child)
        yield child
    for name in ("layout", "style"):
        if isinstance(own := getattr(widget, name, None), ipywidgets.Widget):
            yield own


def close_all_in(widget: ipywidgets.Widget) -> None:
    """Close all that is in a widget; the widget itself stays."""
    for part in list(parts_of(widget)):
        part.close()


def hear_while_cells_run(widget: ipywidgets.Widget) -> None:
    """Have what a page says to a widget, and to all in it, heard at once.

    JupyterLab sends it to a thread of its own (a subshell of the kernel's). ipykernel 7.4 passes it
    on to the thread that has last updated the widget, where it waits for the running cell, or is
    lost if that thread was a page's that has been closed since.
    """
    for part in (widget, *parts_of(widget)):
        if hasattr(part.comm, "_reply_subshell_for"):
            part.comm._reply_subshell_for = _as_addressed


def _as_addressed(_message: Any, addressee: str | None) -> str | None:
    return addressee
