"""A hyper-parameter search in a notebook: watched and steered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets

from interactive_dl.search.book import Book
from interactive_dl_widgets import _layout, render_search, search_panels
from interactive_dl_widgets._boundary import ErrorBoundary
from interactive_dl_widgets._family import close_all_in, hear_while_cells_run
from interactive_dl_widgets._importance import Importance
from interactive_dl_widgets._refresher import Clock, Refresher
from interactive_dl_widgets._sender import Pending, Sender
from interactive_dl_widgets._still import Still, view_of
from interactive_dl_widgets.log_pane import LogPane
from interactive_dl_widgets.parameter_panels import ParallelPanel, ScatterPanel
from interactive_dl_widgets.point_form import PointForm
from interactive_dl_widgets.range_form import Ranges
from interactive_dl_widgets.search_controls import SearchLimits, TrialButtons
from interactive_dl_widgets.trial_table import TrialTable
from interactive_dl_widgets.views.acts import rows as action_rows
from interactive_dl_widgets.views.board import Board, Scene
from interactive_dl_widgets.views.progress import best_within, progress
from interactive_dl_widgets.views.stills import Taken
from interactive_dl_widgets.views.trials import columns, row

if TYPE_CHECKING:
    from interactive_dl.search.events import AnyAction, Record
    from interactive_dl_widgets.views.brushes import Brush

_INTERVAL_S = 0.15
_TICK_S = 1.0
_IN_A_STILL = 20


class SearchLike(Protocol):
    """What a board needs of a search.

    Attributes:
        id, name: of the search.
        book: all that was told so far; it grows.
        state: ``running``, ``finished`` ...
    """

    id: str
    name: str

    @property
    def book(self) -> Book: ...  # noqa: D102

    @property
    def state(self) -> str: ...  # noqa: D102

    def subscribe(self, callback: Callable[[Any, Sequence[Record]], None]) -> Callable[[], None]:
        """Have ``callback(search, records)`` called for all that comes; gives what ends that."""

    def act(self, action: AnyAction, *, wait: bool) -> Pending:
        """Pass an action on."""

    def importance(self) -> Mapping[str, float]:
        """How much each parameter matters."""

    def output(self, trial: int) -> list[str]:
        """What a trial has printed, line by line."""


class SearchBoard(ipywidgets.VBox):
    """Shows a search while it runs, and afterwards; its buttons are the search's methods.

    It draws as soon as it is displayed, at most seven times a second, in a thread of its own;
    ``close()`` ends that and releases everything. Errors behind the widget go to its log; why an
    action was refused stands beside it.

    Args:
        search: what ``idl.Search(...)`` or ``idl.Search.attach(...)`` gives.
        raise_errors: whether errors are raised, too, after they were logged.

    Attributes:
        search: as given.
        table: of the trials; its ``selected`` are those that the buttons are for.
    """

    def __init__(self, search: SearchLike, *, raise_errors: bool = False) -> None:
        self.search = search
        self._board = Board()
        self._brushes: dict[str, Brush] = {}
        self._scene_now = self._board.scene(Book(), (), {}, 0.0)
        self._log = LogPane(layout={"display": "none"})
        self._boundary = ErrorBoundary(self._complain, raises=raise_errors)
        self._refresher = Refresher(self.draw, _INTERVAL_S)
        self._clock = Clock(self._tick, _TICK_S)
        poke = self._refresher.poke
        self._sender = Sender(lambda one: search.act(one, wait=False), poke, self._failed)
        self._importance = Importance(search.importance, poke, self._failed)
        self._drawing, self._life = threading.Lock(), threading.Lock()
        self._unsubscribe: Callable[[], None] | None = None
        self._still: Still | None = None
        self._taken = Taken()

        self._header, self._actions = _layout.text(), _layout.text()
        self._actions.add_class("idl-list")
        self._actions.add_class("idl-actions")
        self.table = TrialTable(layout={"width": "100%"})
        self.table.observe(lambda _change: poke(), "selected")
        self._form = PointForm(self._ask)
        self._limits = SearchLimits(self._ask, lambda: self._open_form(None))
        self._buttons = TrialButtons(self._ask, self._open_form, self._show_output)
        self._ranges = Ranges(self._ask, self._clear_brushes)
        self._learning = search_panels.LearningPanel(poke)
        self._best = search_panels.BestPanel()
        self._parallel = ParallelPanel(self._mark)
        self._scatter = ScatterPanel(self._mark, poke)
        self._matter = search_panels.ImportancePanel(self._importance)
        self._plots: tuple[search_panels.ScenePanel, ...] = (
            self._learning,
            self._best,
            self._parallel,
            self._scatter,
            self._matter,
        )
        super().__init__(self._parts(), layout={"grid_gap": "8px", "width": "100%"})
        self.add_class("idl")
        hear_while_cells_run(self)

    def _parts(self) -> tuple[ipywidgets.Widget, ...]:
        parameters = _layout.grid(self._parallel.box, self._scatter.box, least_px=420)
        return (
            _layout.style(),
            _layout.card(self._header, self._limits.box),
            _layout.card(self.table, self._buttons.box, self._form),
            _layout.grid(self._learning.box, self._best.box),
            _layout.card(parameters, self._ranges.box),
            _layout.grid(self._matter.box, _layout.card(self._actions), least_px=360),
            self._log,
        )

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Follow the search; displaying the board does it. A second call changes nothing."""
        self._follow()
        self._refresher.start()
        self._clock.start()

    def stop(self) -> None:
        """Follow the search no longer; what is shown stays. Stops no search."""
        self._clock.stop()
        with self._life:
            unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        self._refresher.stop()

    def close(self) -> None:
        """Stop, keep a picture in the notebook, and remove the widgets from every page."""
        self.stop()
        self._sender.close()
        self._importance.close()
        self._keep_still()
        close_all_in(self)
        super().close()

    def draw(self) -> None:
        """Show the search as it is now; the board's own thread does it when something comes."""
        with self._boundary("Drawing the search"), self._drawing:
            scene = self._scene()
            book, state = scene.book, self.search.state
            now = progress(book, state, scene.now_s)
            self._header.value = render_search.header(self.search.name, self.search.id, now)
            self._draw_table(scene)
            self._buttons.draw(scene)
            self._limits.draw(scene, self._sender.sent)
            self._ranges.draw(scene)
            self._actions.value = render_search.actions(action_rows(book, self._sender.sent))
            for panel in self._plots:
                panel.draw(scene)

    # -- steering ------------------------------------------------------------------------------

    def _ask(self, actions: Iterable[AnyAction]) -> None:
        self._sender.send(actions)

    def _open_form(self, trial: int | None) -> None:
        with self._boundary("Opening the form"):
            self._form.show_for(self.search.book, trial)

    def _show_output(self, trial: int) -> None:
        with self._boundary(f"Reading what trial {trial} has printed"):
            lines = self.search.output(trial)
            self._log.layout.display = "block"
            self._log.append([("engine", f"trial {trial}: {len(lines)} lines")])
            self._log.append([("stdout", line) for line in lines])

    def _mark(self, marked: Mapping[str, Brush | None]) -> None:
        """Keep what a person has marked on axes, and select the trials that lie within."""
        with self._boundary("Marking a range"), self._drawing:
            brushes = {**self._brushes, **marked}
            self._brushes = {name: one for name, one in brushes.items() if one is not None}
            ended = self._scene_now.ended
            inside = ended.within(self._brushes)
            chosen = [n for n, is_in in zip(ended.number, inside, strict=True) if is_in]
        self.table.selected = chosen if self._brushes else []
        self._refresher.poke()

    def _clear_brushes(self) -> None:
        self._brushes = {}
        self._refresher.poke()

    # -- how -----------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Subscribe; to a search that has not been started, as soon as it has."""
        with self._life:
            if self._unsubscribe is None and self.search.state != "not started":
                self._unsubscribe = self.search.subscribe(self._noticed)

    def _tick(self) -> None:
        """Times go on; now and then a picture is taken, for which no drawing has to wait."""
        with self._boundary("Following the search"):
            self._follow()
            if self._taken.is_outdated(self.search.state, time.monotonic()):
                self._keep_still()
        self._refresher.poke()

    def _scene(self) -> Scene:
        self._scene_now = self._board.scene(
            self.search.book, self.table.selected, self._brushes, time.time()
        )
        return self._scene_now

    def _draw_table(self, scene: Scene) -> None:
        book = scene.book
        rows = [row(book, number, scene.now_s) for number in sorted(scene.changed)]
        self.table.draw(columns(book), rows)
        palette = render_search.search_plots.PALETTE
        colours = {str(n): palette[colour] for n, colour in scene.colours.by_trial.items()}
        if colours != self.table.colours:
            self.table.colours = colours

    def _noticed(self, _search: Any, records: Sequence[Record]) -> None:
        self._board.note(records)
        self._refresher.poke()

    def _failed(self, error: Exception) -> None:
        with self._boundary("Asking the search"):
            raise error

    def _complain(self, text: str) -> None:
        self._log.layout.display = "block"
        self._log.append([("widget", text)])

    def _keep_still(self) -> None:
        if self._still is not None:
            captioned = [(panel.title, panel.figure) for panel in self._plots]
            self._still.keep(captioned, self._words())
            self._taken = Taken(self.search.state, time.monotonic())

    def _words(self) -> str:
        """What a picture of the search says besides its plots."""
        scene, now_s = self._scene_now, time.time()
        book = scene.book
        best = [row(book, n, now_s) for n in best_within(scene.ended, _IN_A_STILL)]
        parts = (
            render_search.header(
                self.search.name, self.search.id, progress(book, self.search.state, now_s)
            ),
            render_search.table(columns(book), best, len(book.trials)),
            render_search.actions(action_rows(book)),
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
        if self.search.book.ended is not None:
            self.draw()
