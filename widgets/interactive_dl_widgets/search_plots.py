"""The Bokeh plots of a search, without data; see ``plots``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bokeh.models import (
    BoxSelectTool,
    DataRange1d,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    Range1d,
)
from bokeh.plotting import figure

from interactive_dl_widgets._drawing import plot as make
from interactive_dl_widgets._drawing import source

if TYPE_CHECKING:
    from bokeh.models import GlyphRenderer

    from interactive_dl_widgets.views.axes import Axis

PALETTE = (
    "#4c8bf5",
    "#f0883e",
    "#2ea67a",
    "#e5534b",
    "#a371f7",
    "#c9960c",
    "#d65fa4",
    "#1fa3b5",
    "#8a9a3b",
    "#8b949e",
)
"""Of trials, told apart on white and on black."""
BEST = "#f0883e"
CHOSEN, FAINT = "#2ea67a", "#8b949e"
STATE_COLOURS = {
    "finished": "#4c8bf5",
    "pruned": "#8b949e",
    "stopped": "#c9960c",
    "failed": "#e5534b",
    "quarantined": "#e5534b",
}
SHADES = ("#4c8bf5", "#8b7ce6", "#b66ecb", "#d96799", "#ea7266", "#f0883e")
"""From the worst to the best."""
_TALL_PX = 250


def learning_plot(metric: str, *, log: bool) -> figure:
    """Curves of trials over their steps, and the steps at which successive halving judges."""
    plot = make("step", metric, y_axis_type="log" if log else "linear")
    rungs = source("rungs", "x")
    plot.vspan("x", source=rungs, line_color=FAINT, line_dash="dashed", line_alpha=0.8)
    lines = []
    for at, colour in enumerate(PALETTE):
        points = source(f"curve{at}", "x", "y", "trial")
        lines.append(plot.line("x", "y", source=points, color=colour, line_width=2, alpha=0.9))
    # A trial's first report is no line yet.
    dots = source("dots", "x", "y", "colour")
    plot.scatter("x", "y", source=dots, color={"field": "colour"}, size=3)
    plot.x_range, plot.y_range = DataRange1d(renderers=lines), DataRange1d(renderers=lines)
    tips = [("trial", "@trial{0}"), ("step", "@x{0,0}"), (metric, "@y{0.0000}")]
    plot.add_tools(HoverTool(renderers=lines, tooltips=tips, line_policy="nearest"))
    return plot


def best_plot(metric: str, unit: str) -> figure:
    """Values of ended trials over time, and the best so far."""
    plot = make(unit, metric)
    _frame(plot)
    ended, best = source("ended", "x", "y", "trial", "state", "colour"), source("best", "x", "y")
    dots = plot.scatter("x", "y", source=ended, color={"field": "colour"}, size=4, alpha=0.55)
    plot.step("x", "y", source=best, color=BEST, line_width=2, mode="after")
    tips = [("trial", "@trial{0}, @state"), (metric, "@y{0.0000}")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    return plot


def parallel_plot(axes: Sequence[Axis], density: float = 1.0) -> figure:
    """A line for each trial over all axes, the best ones on top; a box on an axis is a brush.

    Args:
        axes: from left to right.
        density: less than 1 for fainter lines, where there are many.
    """
    plot = make("", "", tools="save", x_axis_location="above", height=_TALL_PX)
    plot.x_range = Range1d(-0.25, max(len(axes), 2) - 0.4)
    plot.y_range = Range1d(-0.06, 1.06)
    plot.grid.visible = plot.yaxis.visible = False
    plot.xaxis.ticker = FixedTicker(ticks=list(range(len(axes))))
    plot.xaxis.major_label_overrides = {at: axis.name for at, axis in enumerate(axes)}
    plot.xaxis.axis_line_alpha = 0
    plot.line("x", "y", source=source("faded", "x", "y"), color=FAINT, alpha=0.12)
    lines = [_shade(plot, at, colour, density) for at, colour in enumerate(SHADES)]
    plot.line("x", "y", source=source("chosen", "x", "y"), color=CHOSEN, line_width=2.5)
    plot.vspan("x", source=source("axes", "x"), line_color=FAINT)
    labels = source("labels", "x", "y", "text")
    style = {"text_font_size": "11px", "text_baseline": "middle"}
    plot.text("x", "y", "text", source=labels, x_offset=5, **style)
    tips = [("trial", "@trial{0}"), ("value", "@value{0.0000}")]
    plot.add_tools(HoverTool(renderers=lines, tooltips=tips, line_policy="nearest"))
    _add_brush(plot)
    return plot


def scatter_plot(x: Axis, y: Axis) -> figure:
    """Trials by two parameters, or a parameter and the value; a box that is drawn is a brush."""
    types = {"x_axis_type": _scale(x), "y_axis_type": _scale(y)}
    plot = make(x.name, y.name, tools="wheel_zoom,reset,save", height=_TALL_PX, **types)
    _frame(plot)
    for drawn, axis in ((plot.xaxis, x), (plot.yaxis, y)):
        if axis.scale == "choice":
            drawn.ticker = FixedTicker(ticks=list(range(len(axis.options))))
            drawn.major_label_overrides = {at: str(one) for at, one in enumerate(axis.options)}
    mapper = LinearColorMapper(palette=list(SHADES), low=0.0, high=1.0)
    trials = source("trials", "x", "y", "trial", "value", "shade")
    colour = {"field": "shade", "transform": mapper}
    dots = plot.scatter("x", "y", source=trials, color=colour, size=6, alpha=0.75)
    chosen = source("chosen", "x", "y")
    plot.scatter("x", "y", source=chosen, fill_color=None, line_color=CHOSEN, line_width=2, size=10)
    tips = [("trial", "@trial{0}"), ("value", "@value{0.0000}")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    _add_brush(plot)
    return plot


def importance_plot(names: Sequence[str]) -> figure:
    """A bar for each parameter, the most important on top."""
    plot = make("share of the variance", "")
    bars = source("bars", "rank", "share")
    style = {"color": PALETTE[0], "alpha": 0.85, "line_color": None}
    drawn = plot.hbar("rank", 0.7, "share", source=bars, **style)
    plot.x_range = DataRange1d(start=0, range_padding=0.05)
    plot.y_range = Range1d(max(len(names), 1) - 0.4, -0.6)
    plot.ygrid.visible = False
    plot.yaxis.ticker = FixedTicker(ticks=list(range(len(names))))
    plot.yaxis.major_label_overrides = dict(enumerate(names))
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("share", "@share{0.0%}")]))
    return plot


def _shade(plot: figure, at: int, colour: str, density: float) -> GlyphRenderer:
    points = source(f"shade{at}", "x", "y", "trial", "value")
    share = at / (len(SHADES) - 1)
    alpha = density * (0.3 + 0.5 * share)
    return plot.line("x", "y", source=points, color=colour, alpha=alpha, line_width=1)


def _frame(plot: figure) -> None:
    """Ranges that follow the source ``frame``: what is far away does not crush the rest."""
    corners = plot.scatter("x", "y", source=source("frame", "x", "y"), alpha=0, size=0)
    plot.x_range = DataRange1d(renderers=[corners], range_padding=0.04)
    plot.y_range = DataRange1d(renderers=[corners], range_padding=0.08)


def _add_brush(plot: figure) -> None:
    brushes = source("brushes", "left", "right", "bottom", "top")
    style = {"fill_color": FAINT, "fill_alpha": 0.25, "line_color": FAINT}
    plot.quad("left", "right", "bottom", "top", source=brushes, **style)
    # No renderer: the kernel, not the page, says which trials lie within.
    tool = BoxSelectTool(renderers=[])
    plot.add_tools(tool)
    plot.toolbar.active_drag = tool
    # Else its events do not reach the document, where figure.js hears them.
    plot.subscribed_events = {"selectiongeometry"}


def _scale(axis: Axis) -> str:
    return "log" if axis.scale == "log" else "linear"
