"""The plots of a search's board: each draws one aspect of a scene, from any thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import ipywidgets
import numpy as np

from interactive_dl_widgets import _layout, render_search, search_plots
from interactive_dl_widgets._drawing import empty
from interactive_dl_widgets.figure import Figure
from interactive_dl_widgets.views import learning
from interactive_dl_widgets.views.progress import best_so_far, time_unit

if TYPE_CHECKING:
    from interactive_dl_widgets._columns import Columns
    from interactive_dl_widgets._importance import Importance
    from interactive_dl_widgets.views.board import Scene


_MOST_DOTS = 3000


class ScenePanel(Protocol):
    """An aspect of a search that is plotted.

    Attributes:
        box: what is put on the page.
        figure: the plot.
    """

    box: ipywidgets.Widget
    figure: Figure

    @property
    def title(self) -> str:
        """HTML: what is seen."""

    def draw(self, scene: Scene) -> None:
        """Show the search as it is now."""


class LearningPanel:
    """Learning curves of the selected trials.

    Args:
        redraw: called when a person has chosen how to draw.
    """

    def __init__(self, redraw: Callable[[], None]) -> None:
        self._metric = ipywidgets.Dropdown(options=[""], layout={"width": "130px"})
        self._log = ipywidgets.ToggleButton(
            description="log", tooltip="logarithmic axis", layout={"width": "auto"}
        )
        self._text = ipywidgets.HTML(layout={"flex": "1 1 0"})
        self._plotted = ("", False)
        self._drawn: object = None
        self.figure = Figure(empty())
        self.box = _layout.card(_layout.row(self._metric, self._log, self._text), self.figure)
        for control in (self._metric, self._log):
            control.observe(lambda _change: redraw(), "value")

    @property
    def title(self) -> str:
        """Whose curves they are."""
        return self._text.value

    def draw(self, scene: Scene) -> None:
        """Draw the chosen metric of the trials that are shown."""
        if not scene.metrics:
            return
        if scene.metrics != self._metric.options:
            chosen = self._metric.value
            self._metric.options = scene.metrics
            self._metric.value = chosen if chosen in scene.metrics else scene.metrics[0]
        metric, log = self._metric.value, self._log.value
        if (metric, log) != self._plotted:
            self.figure.show(search_plots.learning_plot(metric, log=log))
            self._plotted = (metric, log)
        drawn = (metric, log, scene.shown, id(scene.book))
        if drawn == self._drawn and not scene.changed.intersection(scene.shown):
            return
        self._drawn = drawn
        strands = learning.strands(scene.book, scene.colours, metric, log=log)
        rungs = learning.rungs(scene.book, scene.shown)
        sources: dict[str, Columns] = {
            f"curve{at}": {"x": one.x, "y": one.y, "trial": one.trial}
            for at, one in enumerate(strands)
        }
        sources["dots"] = _dots(strands)
        self.figure.draw({**sources, "rungs": {"x": np.array(rungs, float)}})
        keys = [(n, search_plots.PALETTE[c]) for n, c in scene.colours.by_trial.items()]
        self._text.value = render_search.learning_title(
            keys,
            rungs,
            is_chosen=bool(scene.selected),
            is_empty=not any(len(one.x) for one in strands),
        )


class BestPanel:
    """What was found, and when."""

    def __init__(self) -> None:
        self._text = _layout.text()
        self._plotted = ("", "")
        self._drawn: object = None
        self.figure = Figure(empty())
        self.box = _layout.card(self._text, self.figure)

    @property
    def title(self) -> str:
        """What the colours are."""
        return self._text.value

    def draw(self, scene: Scene) -> None:
        """Draw all that has ended, and the best so far."""
        ended, began = scene.ended, scene.book.began
        drawn = (ended.version, len(ended.number), id(scene.book))
        if began is None or drawn == self._drawn:
            return
        self._drawn = drawn
        until_s = max(ended.time_s, default=0.0)
        unit, unit_s = time_unit(until_s)
        if (began.metric, unit) != self._plotted:
            self.figure.show(search_plots.best_plot(began.metric, f"{unit} since the beginning"))
            self._plotted = (began.metric, unit)
        best = best_so_far(scene.book, until_s)
        axis = ended.value_axis
        sampled = ended.sample(_MOST_DOTS)
        states = [one for one, is_in in zip(ended.state, sampled, strict=True) if is_in]
        dots: Columns = {
            "x": np.asarray(ended.time_s, float)[sampled] / unit_s,
            "y": ended.values[sampled],
            "trial": np.asarray(ended.number, float)[sampled],
            "state": states,
            "colour": [search_plots.STATE_COLOURS[state] for state in states],
        }
        frame: Columns = {
            "x": np.array([0.0, until_s / unit_s]),
            "y": np.array([axis.low, axis.high]),
        }
        stairs: Columns = {"x": best.time_s / unit_s, "y": best.value}
        self.figure.draw({"ended": dots, "best": stairs, "frame": frame})
        self._text.value = render_search.best_title(sorted(set(states)))


class ImportancePanel:
    """How much each parameter matters.

    Args:
        importance: computes it.
    """

    def __init__(self, importance: Importance) -> None:
        self._importance = importance
        self._names: tuple[str, ...] = ()
        self._text = ipywidgets.HTML()
        button = _layout.button("Compute", "refresh", "Compute it of the trials so far")
        button.on_click(lambda _: importance.ask())
        self.figure = Figure(search_plots.importance_plot(()))
        self.box = _layout.card(_layout.row(button, self._text), self.figure)

    @property
    def title(self) -> str:
        """Of how many trials it is."""
        return self._text.value

    def draw(self, scene: Scene) -> None:
        """Draw what was computed last."""
        self._importance.notice(scene.book.count_by_state.get("finished", 0))
        now = self._importance.now
        names = tuple(now.shares)
        if names != self._names:
            self.figure.show(search_plots.importance_plot(names))
            self._names = names
        shares = np.array(list(now.shares.values()), float)
        self.figure.draw({"bars": {"rank": np.arange(len(names), dtype=float), "share": shares}})
        self._text.value = render_search.importance_title(now)


def _dots(strands: list[learning.Strand]) -> Columns:
    """All points of all curves."""
    lengths = [len(one.x) for one in strands]
    colours = np.repeat(np.array(search_plots.PALETTE), lengths)
    x, y = (np.concatenate([getattr(one, name) for one in strands]) for name in ("x", "y"))
    return {"x": x, "y": y, "colour": colours.tolist()}
