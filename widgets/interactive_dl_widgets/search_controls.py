"""What a person does to a search: buttons for the selected trials, limits, and ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from interactive_dl.errors import SearchError
from interactive_dl.search import events as e
from interactive_dl_widgets import _layout, render_search
from interactive_dl_widgets.views import form
from interactive_dl_widgets.views.eligible import eligible, promotions

if TYPE_CHECKING:
    from interactive_dl_widgets.views.acts import Sent
    from interactive_dl_widgets.views.board import Scene

Send = Callable[[Iterable[e.AnyAction]], None]

_PLAIN: dict[str, tuple[type[Any], str, str, str]] = {
    "stop": (e.StopTrial, "Stop", "stop", "End the selected trials"),
    "pause": (e.PauseTrial, "Pause", "pause", "Take them off their engines, to go on later"),
    "resume": (e.ResumeTrial, "Resume", "play", "Let paused trials go on"),
    "restart": (e.Restart, "Restart", "refresh", "Try their points anew from the start"),
}


class Valued(ipywidgets.HBox):
    """A field for a number, and the button that does something with it.

    Args:
        label, icon, tooltip: of the button.
        hint: what stands in the empty field.
        act: called with what was typed; tells whether that could be used.
    """

    def __init__(
        self, label: str, icon: str, tooltip: str, hint: str, act: Callable[[str], bool]
    ) -> None:
        self.button = _layout.button(label, icon, tooltip)
        self.typed = ipywidgets.Text(placeholder=hint, layout={"width": "70px"})
        self.button.on_click(lambda _: self._act(act))
        super().__init__((self.typed, self.button), layout={"align_items": "center"})
        self.add_class("idl-valued")

    def enable(self, is_enabled: bool) -> None:
        """Whether something can be done with a number now."""
        self.button.disabled = self.typed.disabled = not is_enabled

    def _act(self, act: Callable[[str], bool]) -> None:
        if act(self.typed.value):
            self.typed.value = ""


class TrialButtons:
    """Buttons for the selected trials.

    Args:
        send: sends actions.
        clone: called with the trial that a person wants to clone.
        output: called with the trial whose output a person wants to see.
    """

    def __init__(
        self, send: Send, clone: Callable[[int], None], output: Callable[[int], None]
    ) -> None:
        self._send = send
        self._scene: Scene | None = None
        self._text = ipywidgets.HTML()
        self._problem = ipywidgets.HTML()
        self._buttons = {
            name: _layout.button(label, icon, tooltip)
            for name, (_, label, icon, tooltip) in _PLAIN.items()
        }
        for name, button in self._buttons.items():
            button.on_click(lambda _, name=name: self._send(self._plain(name)))
        self._clone = _layout.button("Clone …", "copy", "Try a selected trial's point, edited")
        self._clone.on_click(lambda _: self._with_one(clone))
        self._output = _layout.button("Output", "file-text-o", "What a selected trial has printed")
        self._output.on_click(lambda _: self._with_one(output))
        self._rate = Valued(
            "Set learning rate", "", "Of the selected trials that run", "0.001", self._set_rate
        )
        self._priority = Valued(
            "Set priority", "", "Trials of higher priority start first", "0", self._prioritise
        )
        self._promote = Valued(
            "Promote",
            "level-up",
            "Train the selected trial on all engines, so many epochs",
            "epochs",
            self._promote_it,
        )
        self._warm = _layout.checkbox(
            "from its last checkpoint", "Or else anew, with its parameters"
        )
        self._warm.value = True
        self._demote = _layout.button(
            "Demote", "level-down", "End the promotion that runs, and go on searching"
        )
        self._demote.on_click(lambda _: self._send(self._demotions()))
        plain = _layout.row(*self._buttons.values(), self._clone, self._output, self._text)
        valued = _layout.row(self._priority, self._rate, self._promote, self._warm, self._demote)
        self.box = ipywidgets.VBox((plain, valued, self._problem), layout={"overflow": "hidden"})

    def draw(self, scene: Scene) -> None:
        """Enable what can be done."""
        self._scene = scene
        book, numbers = scene.book, scene.selected
        for name, button in self._buttons.items():
            button.disabled = not eligible(book, name, numbers)
        # A search that has ended is opened again by a trial more.
        self._clone.disabled = self._output.disabled = len(numbers) != 1
        self._promote.enable(len(numbers) == 1)
        self._warm.disabled = len(numbers) != 1 or not book.trial(numbers[0]).checkpoint
        for name, control in (("priority", self._priority), ("rate", self._rate)):
            control.enable(bool(eligible(book, name, numbers)))
        self._demote.disabled = not promotions(book)
        self._text.value = render_search.selected(numbers)

    def _plain(self, name: str) -> list[e.AnyAction]:
        kind = _PLAIN[name][0]
        return [kind(number) for number in self._fit(name)]

    def _fit(self, name: str) -> list[int]:
        scene = self._scene
        return [] if scene is None else eligible(scene.book, name, scene.selected)

    def _set_rate(self, typed: str) -> bool:
        def actions() -> list[e.AnyAction]:
            rate = form.number("learning_rate", typed or "?")
            assert rate is not None
            return [e.SetLearningRate(number, rate) for number in self._fit("rate")]

        return self._try(actions)

    def _prioritise(self, typed: str) -> bool:
        def actions() -> list[e.AnyAction]:
            priority = form.whole("priority", typed or "?")
            assert priority is not None
            return [e.SetPriority(number, priority) for number in self._fit("priority")]

        return self._try(actions)

    def _promote_it(self, typed: str) -> bool:
        def actions() -> list[e.AnyAction]:
            epochs = form.whole("epochs", typed or "?")
            assert epochs is not None
            assert self._scene is not None
            (number,) = self._scene.selected
            is_warm = self._warm.value and bool(self._scene.book.trial(number).checkpoint)
            return [e.Promote(number, e.Promotion(epochs), is_warm)]

        return self._try(actions)

    def _demotions(self) -> list[e.AnyAction]:
        scene = self._scene
        return [] if scene is None else [e.StopTrial(n) for n in promotions(scene.book)]

    def _with_one(self, act: Callable[[int], None]) -> None:
        if self._scene is not None and len(self._scene.selected) == 1:
            act(self._scene.selected[0])

    def _try(self, actions: Callable[[], list[e.AnyAction]]) -> bool:
        """Send actions made of what was typed, or say what is wrong with it."""
        problem = ""
        try:
            self._send(actions())
        except SearchError as error:
            problem = str(error)
        self._problem.value = render_search.problem(problem)
        return not problem


class Limit(ipywidgets.HBox):
    """A limit of the search: its name, and what a person may change it to.

    Args:
        name: what stands before it.
        tooltip: what it means.
        ask: called with what was typed.
    """

    def __init__(self, name: str, tooltip: str, ask: Callable[[str], None]) -> None:
        self._ask = ask
        self._shown = ""
        self.typed = ipywidgets.Text(
            placeholder="no end",
            continuous_update=False,
            tooltip=tooltip,
            layout={"width": "74px"},
        )
        label = ipywidgets.Label(name, tooltip=tooltip, layout={"width": "auto"})
        super().__init__((label, self.typed), layout={"align_items": "center"})
        self.typed.observe(self._turned, "value")

    def show(self, value: float | None) -> None:
        """Show what the search has; nothing is asked for."""
        self._shown = "" if value is None else f"{value:g}"
        self.typed.value = self._shown

    def _turned(self, change: dict[str, Any]) -> None:
        if change["new"] != self._shown:
            self._ask(change["new"])


class SearchLimits:
    """Limits, and the end of the search.

    Args:
        send: sends actions.
        add: called when a person wants to add a point.
    """

    def __init__(self, send: Send, add: Callable[[], None]) -> None:
        self._send = send
        self._problem = ipywidgets.HTML()
        self._limits = {
            "trials": Limit("trials", "So many does the sampler make", self._set_trials),
            "concurrency": Limit("at once", "So many run at once", self._set_concurrency),
            "time_budget_s": Limit(
                "seconds", "Time budget: so long is it worked on", self._set_time_budget
            ),
        }
        self._limits["concurrency"].typed.placeholder = "engines"
        self._limits["time_budget_s"].typed.placeholder = "no limit"
        self._add = _layout.button("Add a point …", "plus", "Try a point that you pick")
        self._add.on_click(lambda _: add())
        self._stop = _layout.button("Stop the search", "stop", "Stop every trial and end it")
        self._question = _layout.Question()
        self._stop.on_click(
            lambda _: self._question.ask(
                "Stop every trial and end the search?", lambda: send([e.StopSearch()])
            )
        )
        row = _layout.row(*self._limits.values(), self._add, self._stop, self._question)
        self.box = ipywidgets.VBox((row, self._problem), layout={"overflow": "hidden"})

    def draw(self, scene: Scene, sent: Sequence[Sent]) -> None:
        """Show what the search has, except where a person's wish is on its way."""
        book = scene.book
        awaited = {
            _LIMIT_OF.get(type(one.action))
            for one in sent
            if not one.failure and not (one.id and book.has_action(one.id))
        }
        for name, limit in self._limits.items():
            if name not in awaited:
                limit.show(getattr(book.limits, name))
            limit.typed.disabled = book.ended is not None and name != "trials"
        self._add.disabled = book.began is None
        self._stop.disabled = book.ended is not None or book.is_stopping

    def _set_trials(self, typed: str) -> None:
        self._try(lambda: e.SetTrials(form.whole("trials", typed)))

    def _set_concurrency(self, typed: str) -> None:
        self._try(lambda: e.SetConcurrency(form.whole("at once", typed)))

    def _set_time_budget(self, typed: str) -> None:
        self._try(lambda: e.SetTimeBudget(form.number("budget", typed)))

    def _try(self, action: Callable[[], e.AnyAction]) -> None:
        try:
            self._send([action()])
        except SearchError as error:
            self._problem.value = render_search.problem(str(error))
        else:
            self._problem.value = ""


_LIMIT_OF: dict[type[Any], str] = {
    e.SetTrials: "trials",
    e.SetConcurrency: "concurrency",
    e.SetTimeBudget: "time_budget_s",
}
