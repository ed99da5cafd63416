"""The plots of parameters and values, on which a person marks ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import ipywidgets
import numpy as np

from interactive_dl_widgets import _layout, render_search, search_plots
from interactive_dl_widgets._drawing import empty
from interactive_dl_widgets.figure import Box, Figure
from interactive_dl_widgets.views import brushes
from interactive_dl_widgets.views.axes import Axis

if TYPE_CHECKING:
    from interactive_dl_widgets._columns import Columns
    from interactive_dl_widgets.views.board import Scene
    from interactive_dl_widgets.views.brushes import Brush

_MOST_CHOSEN = 30
_MOST_LINES, _MOST_DOTS = 600, 3000

Marked = Callable[[dict[str, "Brush | None"]], None]
"""Called with what a person has marked; None where a mark is taken away."""


class ParallelPanel:
    """A line for each trial over all parameters and the value.

    Args:
        marked: called when a person has drawn a box on axes.
    """

    def __init__(self, marked: Marked) -> None:
        self._marked = marked
        self._axes: tuple[Axis, ...] = ()
        self._plotted: tuple[list[str], float] = ([], 1.0)
        self._drawn: object = None
        self.figure = Figure(empty(), self._brushed)
        self._text = ipywidgets.HTML(render_search.parallel_title(0, 0))
        self.box = ipywidgets.VBox((self._text, self.figure))

    @property
    def title(self) -> str:
        """What the colours are."""
        return self._text.value

    def draw(self, scene: Scene) -> None:
        """Draw all that has ended."""
        ended = scene.ended
        if not ended.axes:
            return
        axes = (*ended.axes, ended.value_axis)
        plotted = ([axis.name for axis in axes], _density(len(ended.number)))
        if plotted != self._plotted:
            self.figure.show(search_plots.parallel_plot(axes, plotted[1]))
        self._plotted, self._axes = plotted, axes
        drawn = (ended.version, len(ended.number), dict(scene.brushes), scene.selected)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        sampled = ended.sample(_MOST_LINES)
        self._text.value = render_search.parallel_title(int(sampled.sum()), len(sampled))
        inside = ended.within(scene.brushes)
        shade = _shades(ended.goodness)
        places = np.stack([axis.place(ended.numbers(axis.name)) for axis in axes], axis=1)
        numbers = np.asarray(ended.number, float)
        sources: dict[str, Columns] = {}
        for at in range(len(search_plots.SHADES)):
            of = sampled & inside & (shade == at)
            width = len(axes) + 1
            trials = {"trial": numbers[of], "value": ended.values[of]}
            owners = {name: np.repeat(column, width) for name, column in trials.items()}
            sources[f"shade{at}"] = {**_lines(places[of]), **owners}
        sources["faded"] = _lines(places[sampled & ~inside])
        sources["chosen"] = _lines(places[_chosen(scene)])
        sources["axes"] = {"x": np.arange(len(axes), dtype=float)}
        self.figure.draw({**sources, **_labels(axes), **_bands(axes, scene.brushes)})

    def _brushed(self, box: Box) -> None:
        self._marked(brushes.on_parallel(self._axes, box))


class ScatterPanel:
    """Trials by two axes that a person chooses.

    Args:
        marked: called when a person has drawn a box.
        redraw: called when a person has chosen an axis.
    """

    def __init__(self, marked: Marked, redraw: Callable[[], None]) -> None:
        self._marked = marked
        layout = {"width": "125px"}
        self._x = ipywidgets.Dropdown(options=[""], tooltip="horizontal axis", layout=layout)
        self._y = ipywidgets.Dropdown(options=[""], tooltip="vertical axis", layout=layout)
        self._plotted: tuple[Axis, ...] = ()
        self._drawn: object = None
        self.figure = Figure(empty(), self._brushed)
        self.box = ipywidgets.VBox(
            (_layout.row(self._y, ipywidgets.Label("over"), self._x), self.figure)
        )
        for control in (self._x, self._y):
            control.observe(lambda _change: redraw(), "value")

    @property
    def title(self) -> str:
        """Which axes they are."""
        return render_search.scatter_title(self._x.value, self._y.value)

    def draw(self, scene: Scene) -> None:
        """Draw all that has ended."""
        ended = scene.ended
        if not ended.axes:
            return
        names = tuple(axis.name for axis in (*ended.axes, ended.value_axis))
        for control, usual in ((self._x, names[0]), (self._y, names[-1])):
            if control.options != names:
                chosen = control.value
                control.options = names
                control.value = chosen if chosen in names else usual
        axes = ended.axis(self._x.value), ended.axis(self._y.value)
        if [_kind(axis) for axis in axes] != [_kind(axis) for axis in self._plotted]:
            self.figure.show(search_plots.scatter_plot(*axes))
        self._plotted = axes
        drawn = (axes, ended.version, len(ended.number), dict(scene.brushes), scene.selected)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        x, y = (ended.numbers(axis.name) for axis in axes)
        there = np.isfinite(x) & np.isfinite(y)
        drawn_ones = there & ended.sample(_MOST_DOTS)
        columns = {
            "x": x,
            "y": y,
            "trial": np.asarray(ended.number, float),
            "value": ended.values,
            "shade": ended.goodness,
        }
        chosen = there & _chosen(scene)
        ends = [np.array([axis.low, axis.high]) for axis in axes]
        self.figure.draw(
            {
                "trials": {name: column[drawn_ones] for name, column in columns.items()},
                "chosen": {"x": x[chosen], "y": y[chosen]},
                "frame": {"x": ends[0], "y": ends[1]},
                "brushes": _box(axes, scene.brushes),
            }
        )

    def _brushed(self, box: Box) -> None:
        if len(self._plotted) == 2:
            self._marked(brushes.on_scatter(*self._plotted, box))


def _lines(places: np.ndarray) -> dict[str, np.ndarray]:
    """Lines one after another with gaps between: places (trials, axes) -> columns (points,)."""
    trials, axes = places.shape
    gaps = np.full((trials, 1), np.nan)
    x = np.tile(np.arange(axes + 1, dtype=float), trials)
    return {"x": x, "y": np.concatenate([places, gaps], axis=1).ravel()}


def _chosen(scene: Scene) -> np.ndarray:
    """Which of the ended trials stand out, bool: those selected, unless they are a crowd."""
    few = scene.selected if len(scene.selected) <= _MOST_CHOSEN else ()
    return np.isin(scene.ended.number, few)


def _density(trials: int) -> float:
    """How strong the lines of so many trials are, so that they do not hide one another."""
    return 1.0 if trials < 60 else 0.6 if trials < 300 else 0.3


def _labels(axes: tuple[Axis, ...]) -> dict[str, Columns]:
    marks = [(at, *tick) for at, axis in enumerate(axes) for tick in axis.ticks()]
    x, y, texts = zip(*marks, strict=True) if marks else ((), (), ())
    return {"labels": {"x": np.array(x, float), "y": np.array(y, float), "text": list(texts)}}


def _bands(axes: tuple[Axis, ...], marked: Mapping[str, Brush]) -> dict[str, Columns]:
    """A narrow box on each axis that is brushed."""
    rows = [
        (at - 0.06, at + 0.06, *axis.place(np.array(marked[axis.name])))
        for at, axis in enumerate(axes)
        if axis.name in marked
    ]
    return {"brushes": _quads(rows)}


def _box(axes: tuple[Axis, Axis], marked: Mapping[str, Brush]) -> Columns:
    """The box that is brushed; where only one axis is, over the whole of the other."""
    if not any(axis.name in marked for axis in axes):
        return _quads([])
    (left, right), (bottom, top) = (marked.get(axis.name, (axis.low, axis.high)) for axis in axes)
    return _quads([(left, right, bottom, top)])


def _quads(rows: list[tuple[float, ...]]) -> Columns:
    left, right, bottom, top = np.array(rows, float).reshape(-1, 4).T
    return {"left": left, "right": right, "bottom": bottom, "top": top}


def _shades(goodness: np.ndarray) -> np.ndarray:
    count = len(search_plots.SHADES)
    return np.minimum((goodness * count).astype(int), count - 1)


def _kind(axis: Axis) -> tuple[object, ...]:
    return axis.name, axis.scale, axis.options
