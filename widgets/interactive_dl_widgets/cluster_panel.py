"""A cluster in a notebook: its engines, how they are, and what can be done about it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets

from interactive_dl_widgets import _layout, render
from interactive_dl_widgets._boundary import ErrorBoundary
from interactive_dl_widgets._family import close_all_in, hear_while_cells_run
from interactive_dl_widgets._loads import LocalLoads
from interactive_dl_widgets._refresher import Clock, Refresher
from interactive_dl_widgets.log_pane import LogPane
from interactive_dl_widgets.views.engines import engine_rows, merged, reported_loads

if TYPE_CHECKING:
    from interactive_dl.cluster import Cluster
    from interactive_dl.telemetry.run import Run

_INTERVAL_S = 1.0
_TO_START = ("stopped", "refused", "impossible")
_ON_ITS_WAY = ("submitting", "pending", "starting", "unknown")
_BEGUN = ("ready", "degraded", "failed", "cancelled", "pre-empted", "timed out")


class ClusterPanel(ipywidgets.VBox):
    """Shows a cluster's engines and their loads; its buttons are the cluster's methods.

    It looks once a second from when it is displayed until ``close()``. What ends engines asks
    first. Errors behind the panel go to its log.

    Args:
        cluster: started or not.
        run: one that tells what its ranks use on other hosts, and of their GPUs.
        raise_errors: whether errors are raised, too, after they were logged.
    """

    def __init__(
        self, cluster: Cluster, *, run: Run | None = None, raise_errors: bool = False
    ) -> None:
        self.cluster = cluster
        self.run = run
        self._doing = ""
        self._worker: threading.Thread | None = None
        self._life = threading.Lock()
        self._loads = LocalLoads()
        self._log = LogPane(layout={"display": "none"})
        self._boundary = ErrorBoundary(self._complain, raises=raise_errors)
        self._refresher = Refresher(self.draw, _INTERVAL_S / 4)
        self._clock = Clock(self._refresher.poke, _INTERVAL_S)

        self._header, self._table = _layout.text(), _layout.text()
        self._buttons = {
            "start": _layout.button("Start", "play", "Start controller and engines"),
            "heal": _layout.button("Heal", "medkit", "Replace dead engines; the others live on"),
            "restart": _layout.button("Restart", "refresh", "Stop, and start with fresh engines"),
            "stop": _layout.button("Stop", "stop", "End every process of the cluster"),
        }
        self._question = _layout.Question()
        self._buttons["start"].on_click(lambda _: self._do("Starting", self.cluster.start))
        self._buttons["heal"].on_click(lambda _: self._do("Healing", self.cluster.heal))
        self._ask_before("restart", "Restarting", self.cluster.restart)
        self._ask_before("stop", "Stopping", self.cluster.stop)
        super().__init__(
            (
                _layout.style(),
                _layout.card(
                    self._header,
                    _layout.row(*self._buttons.values(), self._question),
                    self._table,
                ),
                self._log,
            ),
            layout={"grid_gap": "8px", "width": "100%"},
        )
        self.add_class("idl")
        hear_while_cells_run(self)

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Look at the cluster, again and again; displaying does it. Starts no cluster."""
        self._refresher.start()
        self._clock.start()

    def stop(self) -> None:
        """Look no longer. Stops no cluster."""
        self._clock.stop()
        self._refresher.stop()

    def close(self) -> None:
        """Stop looking, wait for what a button has begun, and remove the panel from every page."""
        self.stop()
        if self._worker is not None:
            self._worker.join()
        close_all_in(self)
        super().close()

    def draw(self) -> None:
        """Show the cluster as it is now."""
        with self._boundary("Looking at the cluster"):
            engines, deaths, state = self.cluster.engines, self.cluster.deaths, self.cluster.state
            reported = reported_loads(self.run.history) if self.run else {}
            loads = merged(reported, self._loads.measure(engines))
            rows = engine_rows(engines, deaths, loads)
            doing = "" if state.name in _ON_ITS_WAY else self._doing
            shown = doing or state.name
            reason = "" if doing else state.reason
            self._header.value = render.cluster_header(self.cluster.id, shown, reason, len(engines))
            self._table.value = render.engines(rows)
            has_begun = state.name in _BEGUN
            useful = {
                "start": state.name in _TO_START,
                "heal": state.name == "degraded",
                "restart": has_begun,
                "stop": has_begun,
            }
            for name, button in self._buttons.items():
                button.disabled = bool(self._doing) or not useful[name]

    # -- how -------------------------------------------------------------------------------------

    def _ask_before(self, name: str, doing: str, act: Callable[[], object]) -> None:
        text = f"{self._buttons[name].description} and lose what the engines have in memory?"
        self._buttons[name].on_click(
            lambda _: self._question.ask(text, lambda: self._do(doing, act))
        )

    def _do(self, doing: str, act: Callable[[], object]) -> None:
        """Act in a thread: starting takes seconds, and the kernel is to stay free meanwhile."""
        with self._life:
            if self._doing:
                return
            self._doing = doing.lower()
            self._worker = threading.Thread(
                target=self._act, args=(doing, act), name=f"cluster panel: {doing}", daemon=True
            )
        self._refresher.poke()
        self._worker.start()

    def _act(self, doing: str, act: Callable[[], object]) -> None:
        try:
            with self._boundary(f"{doing} the cluster"):
                act()
        finally:
            self._doing = ""
            self._refresher.poke()

    def _complain(self, text: str) -> None:
        self._log.layout.display = "block"
        self._log.append([("widget", text)])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self.start()
        display(self._repr_mimebundle_(), raw=True)
