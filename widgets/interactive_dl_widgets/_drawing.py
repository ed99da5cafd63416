"""What all plots have in common."""

from __future__ import annotations

from typing import Any

from bokeh.models import BasicTickFormatter, ColumnDataSource
from bokeh.plotting import figure

HEIGHT_PX = 210
TOOLS = "pan,box_zoom,wheel_zoom,reset,save"


def plot(x_label: str, y_label: str, **options: Any) -> figure:
    """An empty plot as wide as there is room; texts and grounds get their colours in the page."""
    made = figure(
        **{
            "height": HEIGHT_PX,
            "sizing_mode": "stretch_width",
            "min_width": 200,
            "tools": TOOLS,
            "toolbar_location": "right",
            "x_axis_label": x_label,
            "y_axis_label": y_label,
            "min_border": 4,
            "output_backend": "canvas",
            **options,
        }
    )
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.grid.grid_line_width = 1
    made.axis.axis_label_text_font_style = "normal"
    made.axis.axis_label_text_font_size = made.axis.major_label_text_font_size = "11px"
    made.axis.axis_label_standoff = 4
    if options.get("x_axis_type", "linear") == "linear":
        made.xaxis.formatter = BasicTickFormatter(use_scientific=False)
    return made


def empty() -> figure:
    """A plot of nothing, until it is known what will be drawn."""
    made = plot("", "", tools="")
    made.line("x", "y", source=source("nothing", "x", "y"))
    return made


def source(name: str, *columns: str) -> ColumnDataSource:
    """Columns without rows, found by their name."""
    return ColumnDataSource({column: [] for column in columns}, name=name)
