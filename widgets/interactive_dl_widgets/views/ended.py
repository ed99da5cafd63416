"""Trials that have ended with a value, as columns: what is drawn of parameters and values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from interactive_dl.search.ranges import Choice, Fixed
from interactive_dl_widgets.views.axes import Axis, axes

if TYPE_CHECKING:
    from interactive_dl.search.book import Book

_GROWTH = 1.1
"""Colours are shared out anew when there are a tenth more values."""
_BEST_DRAWN = 100
_SHARE_SHOWN, _SHARE_LEFT = 0.8, 0.2
"""Of the values; the worst fifth has one colour, or what has diverged would take them all."""


@dataclass
class Ended:
    """Grows at its end only, in the order in which trials ended, until a range is changed.

    Attributes:
        number: of the trials.
        value: what each is judged by.
        time_s: when it ended, since the search began.
        state: how.
        params: by trial.
        axes: of the parameters.
        value_axis: of the metric; the best end may be either.
        version: changes whenever what was there before has to be drawn anew.
    """

    number: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    params: list[Mapping[str, Any]] = field(default_factory=list)
    axes: tuple[Axis, ...] = ()
    value_axis: Axis = field(default_factory=lambda: Axis("value", "linear", 0.0, 1.0))
    version: int = 0
    _is_minimized: bool = True
    _known: set[int] = field(default_factory=set)
    _numbers: dict[str, list[float]] = field(default_factory=dict)
    _scaled_at: int = 0
    _range_version: int = -1
    _book: Book | None = None

    def add(self, book: Book, changed: Iterable[int]) -> None:
        """Take in those of the trials that have ended.

        Args:
            book: of the search; another one than before begins anew.
            changed: numbers of the trials that may have.
        """
        if book is not self._book:
            self.__init__()  # type: ignore[misc]
            self._book = book
        if book.began is None:
            return
        self._is_minimized = book.began.direction == "minimize"
        new = [book.trials[number] for number in changed if number not in self._known]
        new = [trial for trial in new if trial.is_over and trial.value is not None]
        new.sort(key=lambda trial: trial.ended_s or 0.0)
        for trial in new:
            assert trial.value is not None
            self._known.add(trial.number)
            self.number.append(trial.number)
            self.value.append(trial.value)
            self.time_s.append((trial.ended_s or book.began_s) - book.began_s)
            self.state.append(trial.state)
            self.params.append(trial.params)
        self._place(book)
        self._scale(book.began.metric)

    def is_of(self, book: Book) -> bool:
        """Whether it is this book's trials that are here."""
        return book is self._book

    @property
    def values(self) -> np.ndarray:
        """Values, shape (trials,)."""
        return np.asarray(self.value, float)

    def numbers(self, name: str) -> np.ndarray:
        """A parameter's numbers on its axis, shape (trials,); the values for the metric."""
        if name == self.value_axis.name:
            return self.values
        return np.asarray(self._numbers[name], float)

    def axis(self, name: str) -> Axis:
        """A parameter's axis, or the metric's."""
        return next((one for one in self.axes if one.name == name), self.value_axis)

    @property
    def goodness(self) -> np.ndarray:
        """Values from 0, the worst fifth, to 1, the best; shape (trials,)."""
        place = self.value_axis.place(self.values)
        return 1.0 - place if self._is_minimized else place

    def within(self, brushes: Mapping[str, tuple[float, float]]) -> np.ndarray:
        """Which trials lie in all of the brushes: bool, shape (trials,).

        Args:
            brushes: least and greatest number by axis; a value axis' end includes all beyond it.
        """
        inside = np.ones(len(self.number), bool)
        for name, (low, high) in brushes.items():
            axis, numbers = self.axis(name), self.numbers(name)
            if axis is self.value_axis:
                low = -math.inf if low <= axis.low else low
                high = math.inf if high >= axis.high else high
            inside &= (low <= numbers) & (numbers <= high)
        return inside

    def sample(self, most: int) -> np.ndarray:
        """Which trials to draw where about ``most`` are enough: bool, shape (trials,).

        The best hundred are among them; of the others a share that is the same however often
        it is asked, and is halved when there are twice as many.
        """
        numbers = np.asarray(self.number, float)
        share = 1.0
        while len(numbers) * share > most:
            share /= 2
        # Multiples of the golden ratio are spread evenly, whichever numbers there are.
        chosen = (numbers * 0.6180339887498949) % 1.0 < share
        chosen[np.argsort(-self.goodness, kind="stable")[:_BEST_DRAWN]] = True
        return chosen

    def _place(self, book: Book) -> None:
        """Numbers of trials that have none yet; of all, where ranges have changed."""
        if book.range_version != self._range_version or not self.axes:
            self._range_version = book.range_version
            self.axes = axes(book.space, _seen(book))
            self._numbers = {axis.name: [] for axis in self.axes}
            self.version += 1
        for axis in self.axes:
            column = self._numbers[axis.name]
            new = self.params[len(column) :]
            column += [axis.number(params.get(axis.name)) for params in new]

    def _scale(self, metric: str) -> None:
        count = len(self.value)
        if not count:
            self.value_axis = Axis(metric, "linear", 0.0, 1.0)
            return
        axis = self.value_axis
        best = min(self.value) if self._is_minimized else max(self.value)
        is_known = best >= axis.low if self._is_minimized else best <= axis.high
        if count < _GROWTH * self._scaled_at and is_known:
            return
        # One of the values: between two there may lie one that has diverged.
        share, end = (_SHARE_SHOWN, "lower") if self._is_minimized else (_SHARE_LEFT, "higher")
        worst = float(np.quantile(self.values, share, method=end))  # type: ignore[call-overload]
        low, high = min(best, worst), max(best, worst)
        self._scaled_at = count
        self.value_axis = Axis(metric, "linear", low, high if high > low else low + 1e-9)
        self.version += 1


def _seen(book: Book) -> dict[str, list[Any]]:
    """Values by parameter, of all trials: those that run were made within earlier ranges."""
    began = {} if book.began is None else book.began.space.dimensions
    seen: dict[str, list[Any]] = {}
    for name, dimension in began.items():
        if not isinstance(dimension, Fixed):
            ends = dimension.options if isinstance(dimension, Choice) else _ends(dimension)
            seen[name] = list(ends)
    for trial in list(book.trials):
        for name, value in trial.params.items():
            seen.setdefault(name, []).append(value)
    return seen


def _ends(dimension: Any) -> tuple[float, float]:
    return dimension.low, dimension.high
