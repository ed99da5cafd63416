"""The Bokeh plots of a run, without data: what is drawn, in which colours, what a hover tells.

Texts, axes and grounds get their colours in the browser, from JupyterLab's theme.
"""

from __future__ import annotations

from collections.abc import Sequence

from bokeh.models import (
    BasicTickFormatter,
    DataRange1d,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    Range1d,
)
from bokeh.plotting import figure

from interactive_dl.telemetry.spread import PHASES
from interactive_dl_widgets._drawing import plot as _plot
from interactive_dl_widgets._drawing import source

TRAINING, VALIDATION, EVALUATED = "#4c8bf5", "#f0883e", "#a371f7"
PHASE_COLOURS = {
    "data_wait_s": "#e3a008",
    "compute_s": "#4c8bf5",
    "allreduce_wait_s": "#a371f7",
    "other_s": "#8b949e",
}
PHASE_NAMES = {
    "data_wait_s": "data wait",
    "compute_s": "compute",
    "allreduce_wait_s": "allreduce wait",
    "other_s": "other",
}
FAST, SLOW = "#4c8bf5", "#e5534b"
METRIC_SOURCES = ("reported", "smooth", "validation", "evaluated")
LEAST_RELATIVE, MOST_RELATIVE = 0.6, 1.4
_SHADES = 41
_NAMED_ROWS = 16


def metric_plot(metric: str, *, log: bool) -> figure:
    """Training and validation of a metric over steps."""
    plot = _plot("step", metric, y_axis_type="log" if log else "linear")
    reported, smooth, validation, evaluated = (source(name, "x", "y") for name in METRIC_SOURCES)
    plot.line("x", "y", source=reported, color=TRAINING, alpha=0.35, line_width=1)
    line = plot.line("x", "y", source=smooth, color=TRAINING, line_width=2)
    plot.line("x", "y", source=validation, color=VALIDATION, line_width=2)
    dots = plot.scatter("x", "y", source=validation, color=VALIDATION, size=6)
    asked = plot.scatter("x", "y", source=evaluated, color=EVALUATED, size=9, marker="diamond")
    tips = [("step", "@x{0,0}"), (metric, "@y{0.0000}")]
    plot.add_tools(HoverTool(renderers=[line], tooltips=tips, mode="vline"))
    plot.add_tools(HoverTool(renderers=[dots, asked], tooltips=tips))
    return plot


def throughput_plot() -> figure:
    """Samples per second over steps, and what they would be if no rank waited for another."""
    plot = _plot("step", "samples/s")
    plot.y_range = DataRange1d(start=0, range_padding=0.15)
    rate, ideal = source("rate", "x", "y"), source("ideal", "x", "y")
    line = plot.line("x", "y", source=rate, color=TRAINING, line_width=1.5)
    plot.varea("x", 0, "y", source=rate, color=TRAINING, alpha=0.12)
    plot.line("x", "y", source=ideal, color="#8b949e", line_dash="dashed", line_width=1.5)
    tips = [("step", "@x{0,0}"), ("samples/s", "@y{0,0}")]
    plot.add_tools(HoverTool(renderers=[line], tooltips=tips, mode="vline"))
    plot.yaxis.formatter = BasicTickFormatter(use_scientific=False)
    return plot


def heat_map_plot(rows: int, names: Sequence[str] = ()) -> figure:
    """A cell for each rank and moment, coloured by its own time beside the median rank's.

    Args:
        rows: how many there are.
        names: of the rows, from above; without, they are ranks from 0 on.
    """
    plot = _plot("step", "" if names else "rank")
    cells = source("cells", "x", "width", "row", "relative", "who", *PHASES)
    mapper = LinearColorMapper(palette=_shades(), low=LEAST_RELATIVE, high=MOST_RELATIVE)
    gap = 0.08 if rows <= _NAMED_ROWS else 0.0
    rects = plot.rect(
        "x",
        "row",
        "width",
        1 - gap,
        source=cells,
        fill_color={"field": "relative", "transform": mapper},
        line_color=None,
    )
    plot.x_range = DataRange1d(range_padding=0)
    _row_axis(plot, rows, names)
    tips = [
        ("who", "@who"),
        ("step", "@x{0,0}"),
        ("beside the median", "@relative{0.00}"),
        *((PHASE_NAMES[name], f"@{name}{{0.0}} ms") for name in PHASES),
    ]
    plot.add_tools(HoverTool(renderers=[rects], tooltips=tips))
    return plot


def phase_plot(rows: int, names: Sequence[str] = ()) -> figure:
    """A bar for each rank: where its milliseconds went; arguments as ``heat_map_plot``'s."""
    plot = _plot("ms per step", "" if names else "rank")
    bars = source("bars", "row", "who", *PHASES)
    colours = [PHASE_COLOURS[name] for name in PHASES]
    stacks = plot.hbar_stack(
        list(PHASES), y="row", height=0.75, color=colours, alpha=0.85, source=bars, line_color=None
    )
    plot.x_range = DataRange1d(start=0, range_padding=0.05)
    _row_axis(plot, rows, names)
    tips = [("who", "@who")]
    tips += [(PHASE_NAMES[name], f"@{name}{{0.0}} ms") for name in PHASES]
    plot.add_tools(HoverTool(renderers=stacks, tooltips=tips))
    return plot


def _row_axis(plot: figure, rows: int, names: Sequence[str]) -> None:
    """Row 0 on top, every row named where there is room."""
    plot.y_range = Range1d(max(rows, 1) - 0.5, -0.5)
    plot.grid.visible = False
    if names or rows <= _NAMED_ROWS:
        plot.yaxis.ticker = FixedTicker(ticks=list(range(rows)))
    plot.yaxis.major_label_overrides = dict(enumerate(names))


def _shades() -> list[str]:
    """Blue, over hardly anything, to red: ``#rrggbbaa``, so that both themes shine through."""
    shades = []
    for at in range(_SHADES):
        distance = 2 * at / (_SHADES - 1) - 1
        alpha = round(255 * (0.08 + 0.87 * abs(distance)))
        shades.append(f"{SLOW if distance > 0 else FAST}{alpha:02x}")
    return shades
