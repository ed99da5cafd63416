"""A live run in a notebook: watched and steered."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import ipywidgets

from interactive_dl.telemetry import steering
from interactive_dl_widgets import _layout, panels, render
from interactive_dl_widgets._boundary import ErrorBoundary
from interactive_dl_widgets._family import close_all_in, hear_while_cells_run
from interactive_dl_widgets._refresher import Refresher
from interactive_dl_widgets._still import Still, view_of
from interactive_dl_widgets.views.commands import Asked, rows
from interactive_dl_widgets.views.standing import Standing, standing
from interactive_dl_widgets.views.stills import Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from interactive_dl.telemetry.run import Run

_INTERVAL_S = 0.12
_BUTTONS: dict[str, tuple[steering.AnyCommand, str, str, str]] = {
    "pause": (steering.Pause(), "Pause", "pause", "Wait after this step"),
    "resume": (steering.Resume(), "Resume", "play", "Go on after a pause"),
    "stop": (steering.Stop("step"), "Stop now", "stop", "End the training after this step"),
    "stop after epoch": (
        steering.Stop("epoch"),
        "Stop after epoch",
        "step-forward",
        "End the training with this epoch",
    ),
    "checkpoint": (steering.WriteCheckpoint(), "Checkpoint", "save", "Write a checkpoint now"),
    "grow": (
        steering.Grow(),
        "Grow",
        "plus",
        "Take new engines in for the ranks that were lost; the training goes on meanwhile",
    ),
    "evaluate": (steering.Evaluate(), "Evaluate", "check", "Validate now"),
}


class RunView(ipywidgets.VBox):
    """Shows a run while it trains, and afterwards; its buttons are the run's methods.

    It draws as soon as it is displayed, at most eight times a second, in a thread of its own;
    ``close()`` ends that and releases everything. Errors behind the widget go to its log.

    Args:
        run: what ``cluster.runs[...]`` or ``idl.open_run(...)`` gives.
        raise_errors: whether errors are raised, too, after they were logged.
    """

    def __init__(self, run: Run, *, raise_errors: bool = False) -> None:
        self.run = run
        self._asked: list[Asked] = []
        self._log = panels.LogPanel()
        self._boundary = ErrorBoundary(self._log.complain, raises=raise_errors)
        self._refresher = Refresher(self.draw, _INTERVAL_S)
        self._drawing = threading.Lock()
        self._life = threading.Lock()
        self._unsubscribe: Callable[[], None] | None = None
        self._still: Still | None = None
        self._taken = Taken()

        self._header, self._losses = _layout.text(), _layout.text()
        self._metric = panels.MetricPanel(self._refresher.poke)
        self._throughput = panels.ThroughputPanel()
        self._heat_map = panels.HeatMapPanel()
        self._phases = panels.PhasePanel()
        self._knobs = panels.KnobsPanel(self._set, lambda: self._asked)
        self._commands = panels.CommandsPanel(lambda: self._asked)
        self._buttons = self._make_buttons()
        plots = (self._metric, self._throughput, self._heat_map, self._phases)
        super().__init__(
            (
                _layout.style(),
                _layout.card(self._header, self._losses, _layout.row(*self._buttons.values())),
                _layout.grid(*(panel.box for panel in plots)),
                _layout.grid(
                    _layout.card(self._knobs.box, self._commands.box), self._log.box, least_px=360
                ),
            ),
            layout={"grid_gap": "8px", "width": "100%"},
        )
        self.add_class("idl")
        hear_while_cells_run(self)
        self._panels: tuple[panels.Panel, ...] = (
            *plots,
            self._knobs,
            self._commands,
            self._log,
        )
        self._plots = plots

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Follow the run; displaying the view does it. A second call changes nothing."""
        with self._life:
            if self._unsubscribe is None:
                self._unsubscribe = self.run.subscribe(self._noticed)
                self._refresher.start()

    def stop(self) -> None:
        """Follow the run no longer; what the view shows stays. A second call changes nothing."""
        with self._life:
            unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
            self._refresher.stop()

    def close(self) -> None:
        """Stop, keep a picture in the notebook, and remove the widgets from every page."""
        self.stop()
        self._keep_still()
        close_all_in(self)
        super().close()

    def draw(self) -> None:
        """Show the run as it is now; the view's own thread does it whenever something comes."""
        with self._boundary("Drawing the run"), self._drawing:
            history = self.run.history
            now = standing(history)
            self._header.value = render.header(self.run.name, self.run.id, now)
            lost = render.losses(history.losses_of_ranks)
            self._losses.value = lost + render.untold(now.untold)
            self._enable(now)
            for panel in self._panels:
                panel.draw(history)
            if self._taken.is_outdated(now.state, time.monotonic()):
                self._keep_still()

    # -- steering --------------------------------------------------------------------------------

    def _make_buttons(self) -> dict[str, ipywidgets.Button]:
        buttons = {}
        for name, (command, label, icon, tooltip) in _BUTTONS.items():
            buttons[name] = _layout.button(label, icon, tooltip)
            buttons[name].on_click(lambda _button, command=command: self._ask(command))
        return buttons

    def _set(self, name: str, value: float) -> None:
        self._ask(steering.SetKnobs({name: value}))

    def _ask(self, command: steering.AnyCommand) -> None:
        """Send a command, and list it before the run has answered."""
        with self._boundary(f"Asking to {steering.words(command)}"):
            pending = self.run.send(command, wait=False)
            self._asked.append(Asked(pending.id, command, time.time()))
        self._refresher.poke()

    def _enable(self, now: Standing) -> None:
        is_paused = now.state == "paused"
        for name, button in self._buttons.items():
            useless = {"pause": is_paused, "resume": not is_paused, "grow": not now.missing}
            button.disabled = now.is_over or useless.get(name, False)

    # -- how -------------------------------------------------------------------------------------

    def _noticed(self, _run: Run, _records: object) -> None:
        self._refresher.poke()

    def _keep_still(self) -> None:
        if self._still is not None:
            captioned = [(panel.title, panel.figure) for panel in self._plots]
            self._still.keep(captioned, self._words())
            self._taken = Taken(self.run.state, time.monotonic())

    def _words(self) -> str:
        """What a picture of the run says besides its plots."""
        history = self.run.history
        parts = (
            render.header(self.run.name, self.run.id, standing(history)),
            render.losses(history.losses_of_ranks),
            render.commands(rows(history)),
        )
        return _layout.style_text() + "".join(parts)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self.start()
        if self._still is None:
            self._still = Still()
            self._taken = Taken.begin(time.monotonic())
            for panel in self._plots:
                panel.figure.still = self._still.id
        display(view_of(self), raw=True)
        self._still.place()
        if self.run.history.ended is not None:
            self.draw()
