"""Widgets within widgets."""

from __future__ import annotations

import ipywidgets


def close_all_in(widget: ipywidgets.Widget) -> None:
    """Close all that is in a widget, with layouts and styles; the widget itself stays."""
    for child in getattr(widget, "children", ()):
        close_all_in(child)
        child.close()
    for name in ("layout", "style"):
        if isinstance(own := getattr(widget, name, None), ipywidgets.Widget):
            own.close()
