"""A form for a point of the space: to be added, or a trial's to be cloned with edits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import ipywidgets

from interactive_dl.errors import SearchError
from interactive_dl.search import events as e
from interactive_dl_widgets import _layout, render_search
from interactive_dl_widgets._family import close_all_in, hear_while_cells_run
from interactive_dl_widgets.views import form

if TYPE_CHECKING:
    from interactive_dl.search.book import Book

_NAME_PX, _INPUT_PX = 110, 120


class PointForm(ipywidgets.VBox):
    """Hidden until it is opened; what is wrong with what was typed is said at once.

    Args:
        ask: sends actions.
    """

    def __init__(self, ask: Callable[[Iterable[e.AnyAction]], None]) -> None:
        self._ask = ask
        self._book: Book | None = None
        self._trial: int | None = None
        self._inputs: dict[str, ipywidgets.Text | ipywidgets.Dropdown] = {}
        self._title = _layout.text()
        self._fields = _layout.grid(least_px=440)
        self._warm = _layout.checkbox(
            "from its last checkpoint", "Or else anew, with these parameters"
        )
        self._problem = _layout.text()
        self._enter = _layout.button("Add", "check", "Have it tried")
        self._cancel = _layout.button("Cancel", "times", "Leave it")
        self._enter.button_style = "primary"
        self._enter.on_click(lambda _: self._submit())
        self._cancel.on_click(lambda _: self.hide())
        row = _layout.row(self._enter, self._cancel, self._warm)
        super().__init__(
            (self._title, self._fields, self._problem, row), layout={"display": "none"}
        )
        self.add_class("idl-form")

    @property
    def is_open(self) -> bool:
        """Whether it is to be seen."""
        return self.layout.display != "none"

    def show_for(self, book: Book, trial: int | None = None) -> None:
        """Show it.

        Args:
            book: of the search.
            trial: to clone; None to add a point.
        """
        self._book, self._trial = book, trial
        params = None if trial is None else book.trial(trial).params
        is_warm = trial is not None and bool(book.trial(trial).checkpoint)
        self._title.value = render_search.form_title(trial)
        self._enter.description = "Add" if trial is None else "Clone"
        self._warm.value = False
        self._warm.layout.display = None if is_warm else "none"
        self._fill(form.fields(book.space), form.texts(book.space, params))
        self._check()
        self.layout.display = "flex"

    def hide(self) -> None:
        """Show it no longer."""
        self.layout.display = "none"

    def _fill(self, fields: Iterable[form.Field], texts: dict[str, str]) -> None:
        old = self._fields.children
        self._inputs = {}
        rows = [self._row(field, texts[field.name]) for field in fields]
        self._fields.children = rows
        hear_while_cells_run(self._fields)
        for row in old:
            close_all_in(row)
            row.close()

    def _row(self, field: form.Field, text: str) -> ipywidgets.HBox:
        layout = {"width": f"{_INPUT_PX}px"}
        if field.options:
            value = text if text in field.options else field.options[0]
            control = ipywidgets.Dropdown(options=field.options, value=value, layout=layout)
        else:
            control = ipywidgets.Text(text, disabled=field.is_fixed, layout=layout)
        control.observe(lambda _change: self._check(), "value")
        self._inputs[field.name] = control
        name = ipywidgets.Label(field.name, layout={"width": f"{_NAME_PX}px"})
        hint = ipywidgets.Label(field.hint, tooltip=field.hint, layout={"flex": "1 1 0"})
        hint.add_class("idl-faint")
        layout = {"align_items": "center", "grid_gap": "6px"}
        return ipywidgets.HBox((name, control, hint), layout=layout)

    @property
    def _typed(self) -> dict[str, str]:
        return {name: control.value for name, control in self._inputs.items()}

    def _check(self) -> None:
        assert self._book is not None
        active = form.there(self._book.space, self._typed)
        for (name, _), row in zip(self._inputs.items(), self._fields.children, strict=True):
            row.layout.display = "flex" if active.get(name, False) else "none"
        wrong = form.problem(self._book, self._trial, self._typed)
        self._problem.value = render_search.problem(wrong)

    def _submit(self) -> None:
        assert self._book is not None
        try:
            action = self._action(self._book)
        except SearchError as error:
            self._problem.value = render_search.problem(str(error))
            return
        self.hide()
        self._ask([action])

    def _action(self, book: Book) -> e.AnyAction:
        if self._trial is None:
            return e.Enqueue(form.point(book.space, self._typed))
        edits = form.edits(book, self._trial, self._typed)
        return e.Clone(self._trial, edits, self._warm.value)
