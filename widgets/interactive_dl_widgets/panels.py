"""The parts of a run's view: each draws one aspect of a history, from any thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets
import numpy as np

from interactive_dl_widgets import _layout, plots, render
from interactive_dl_widgets._columns import Columns
from interactive_dl_widgets._knob import Knob
from interactive_dl_widgets.figure import Figure
from interactive_dl_widgets.log_pane import LogPane
from interactive_dl_widgets.views import ranks
from interactive_dl_widgets.views.commands import Asked, awaited_knobs, rows
from interactive_dl_widgets.views.curves import metric_curves, metric_names
from interactive_dl_widgets.views.throughput import throughput

if TYPE_CHECKING:
    from interactive_dl.telemetry.history import History
    from interactive_dl_widgets.views.curves import Curve

Rows = tuple[int, tuple[str, ...]]
"""How many rows a plot of ranks has, and their names."""

_SMOOTHINGS = (1, 5, 20, 100, 500)


class Panel(Protocol):
    """An aspect of a run.

    Attributes:
        box: what is put on the page.
    """

    box: ipywidgets.Widget

    def draw(self, history: History) -> None:
        """Show the run as it is now."""


class PlotPanel(Panel, Protocol):
    """An aspect of a run that is plotted.

    Attributes:
        figure: the plot.
    """

    figure: Figure

    @property
    def title(self) -> str:
        """HTML: what is seen."""


class MetricPanel:
    """Curves of the metric that a person chooses.

    Args:
        redraw: called when a person has chosen how to draw.
    """

    def __init__(self, redraw: Callable[[], None]) -> None:
        self._metric = ipywidgets.Dropdown(options=["loss"], layout={"width": "120px"})
        self._log = ipywidgets.ToggleButton(
            description="log", tooltip="logarithmic axis", layout={"width": "auto"}
        )
        self._over = ipywidgets.Dropdown(
            options=[("as reported", 1), *((f"mean of {n}", n) for n in _SMOOTHINGS[1:])],
            tooltip="smoothing: over how many reports the bold curve's means are",
            layout={"width": "110px"},
        )
        self._drawn = ("loss", False)
        self.figure = Figure(plots.metric_plot("loss", log=False))
        controls = _layout.row(self._metric, self._log, self._over, _html(self.title))
        self.box = _layout.card(controls, self.figure)
        for control in (self._metric, self._log, self._over):
            control.observe(lambda _change: redraw(), "value")

    @property
    def title(self) -> str:
        """Which curve is which."""
        return render.metric_keys()

    def draw(self, history: History) -> None:
        """Draw the chosen metric."""
        if (names := metric_names(history)) and names != self._metric.options:
            chosen = self._metric.value
            self._metric.options = names
            self._metric.value = chosen if chosen in names else names[0]
        chosen, log = self._metric.value, self._log.value
        if (chosen, log) != self._drawn:
            self.figure.show(plots.metric_plot(chosen, log=log))
            self._drawn = (chosen, log)
        view = metric_curves(history, chosen, over_reports=self._over.value, log=log)
        self.figure.draw({name: _points(getattr(view, name)) for name in plots.METRIC_SOURCES})


class ThroughputPanel:
    """How fast the run is, and how well it scales."""

    def __init__(self) -> None:
        self._title = _html("")
        self.figure = Figure(plots.throughput_plot())
        self.box = _layout.card(self._title, self.figure)

    @property
    def title(self) -> str:
        """The rate and the efficiency, in words."""
        return self._title.value

    def draw(self, history: History) -> None:
        """Draw the rate, and the ideal one where the baseline is known."""
        view = throughput(history)
        self._title.value = render.throughput_title(view)
        ends = view.curve.x[[0, -1]] if len(view.curve.x) else np.empty(0)
        ideal = view.ideal_samples_per_s
        if ideal is None:
            ends = np.empty(0)
        line = {"x": ends, "y": np.full(len(ends), ideal or 0.0)}
        self.figure.draw({"rate": _points(view.curve), "ideal": line})


class HeatMapPanel:
    """Who is slower than the others, and when."""

    def __init__(self) -> None:
        self._rows: Rows = (1, ())
        self._title = _html(render.heat_map_title())
        self.figure = Figure(plots.heat_map_plot(*self._rows))
        self.box = _layout.card(self._title, self.figure)

    @property
    def title(self) -> str:
        """What the colours are, and who is slow."""
        return self._title.value

    def draw(self, history: History) -> None:
        """Draw all ranks over all of the time."""
        view = ranks.heat_map(history)
        self._title.value = render.heat_map_title(view.slowest)
        if view.rows and (view.rows, view.names) != self._rows:
            self._rows = view.rows, view.names
            self.figure.show(plots.heat_map_plot(*self._rows))
        cells: Columns = {
            "x": view.step,
            "width": view.width,
            "row": view.row,
            "relative": view.relative,
            "who": view.who,
        }
        self.figure.draw({"cells": {**cells, **view.phases_ms}})


class PhasePanel:
    """Where each rank's time goes, lately."""

    def __init__(self) -> None:
        self._rows: Rows = (1, ())
        self.figure = Figure(plots.phase_plot(*self._rows))
        self.box = _layout.card(_html(self.title), self.figure)

    @property
    def title(self) -> str:
        """What the bars are made of."""
        return render.phase_title()

    def draw(self, history: History) -> None:
        """Draw a bar for each rank."""
        view = ranks.phase_bars(history)
        if view.rows and (view.rows, view.names) != self._rows:
            self._rows = view.rows, view.names
            self.figure.show(plots.phase_plot(*self._rows))
        self.figure.draw({"bars": {"row": view.row, "who": view.who, **view.phases_ms}})


class KnobsPanel:
    """A control for every knob that the run declares.

    Args:
        ask: called with a knob's name and the value that a person wants.
        asked: commands that this notebook has sent.
    """

    def __init__(self, ask: Callable[[str, float], None], asked: Callable[[], list[Asked]]) -> None:
        self._ask = ask
        self._asked = asked
        self._knobs: dict[str, Knob] = {}
        self.box = ipywidgets.VBox(layout={"width": "100%", "overflow": "hidden"})

    def draw(self, history: History) -> None:
        """Show what the run has, except where a person's wish is on its way."""
        for name in history.knobs.keys() - self._knobs.keys():
            self._knobs[name] = Knob(history.knobs[name], self._ask)
        if len(self._knobs) != len(self.box.children):
            self.box.children = [self._knobs[name] for name in history.knobs]
        awaited = awaited_knobs(history, self._asked())
        for name, knob in history.knobs.items():
            if name not in awaited:
                self._knobs[name].show(knob.value)
        for knob in self._knobs.values():
            knob.is_enabled = history.ended is None


class CommandsPanel:
    """What was asked of the run, and what came of it."""

    def __init__(self, asked: Callable[[], list[Asked]]) -> None:
        self._asked = asked
        self.box = _html("")
        self.box.add_class("idl-list")

    def draw(self, history: History) -> None:
        """List the commands."""
        self.box.value = render.commands(rows(history, self._asked()))


class LogPanel:
    """What the run prints, and what goes wrong in the widget."""

    def __init__(self) -> None:
        self.box = LogPane()
        self._last: Any = None

    def draw(self, history: History) -> None:
        """Add what has come since the last time."""
        new: list[tuple[str, str]] = []
        for line in reversed(history.log):
            if line is self._last:
                break
            new.append((line.stream, line.text))
        if new:
            self._last = history.log[-1]
            self.box.append(new[::-1])

    def complain(self, text: str) -> None:
        """Add a line of the widget's own."""
        self.box.append([("widget", text)])


def _points(curve: Curve) -> dict[str, np.ndarray]:
    return {"x": curve.x, "y": curve.y}


def _html(value: str) -> ipywidgets.HTML:
    return ipywidgets.HTML(value, layout={"width": "auto"})
