"""What a board shows of a search now: put together from the book, changed trials only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interactive_dl_widgets.views import learning
from interactive_dl_widgets.views.ended import Ended
from interactive_dl_widgets.views.learning import Colours
from interactive_dl_widgets.views.trials import TrialRows

if TYPE_CHECKING:
    from interactive_dl.search.book import Book
    from interactive_dl.search.events import Record
    from interactive_dl_widgets.views.brushes import Brush


@dataclass(frozen=True)
class Scene:
    """What is drawn at one moment.

    Attributes:
        book: of the search.
        changed: trials that have changed since the scene before.
        ended: those that have ended with a value, as columns.
        selected: by a person, in the order of selecting.
        shown: whose learning curves are drawn.
        colours: of those.
        metrics: what trials have reported, the search's metric first.
        brushes: what a person has marked, by axis.
        now_s: seconds since the epoch.
    """

    book: Book
    changed: frozenset[int]
    ended: Ended
    selected: tuple[int, ...]
    shown: tuple[int, ...]
    colours: Colours
    metrics: tuple[str, ...]
    brushes: Mapping[str, Brush]
    now_s: float


_MANY, _EVERY_S = 200, 1.0


class Board:
    """Follows a search's book. ``note`` may be called from any thread; ``scene`` from one."""

    def __init__(self) -> None:
        self._rows = TrialRows()
        self._ended = Ended()
        self._colours = Colours()
        self._metrics: set[str] = set()
        self._waiting: set[int] = set()
        self._taken_s = 0.0

    def note(self, records: Iterable[Record]) -> None:
        """These records have come to the book."""
        self._rows.note(records)

    def scene(
        self, book: Book, selected: Sequence[int], brushes: Mapping[str, Brush], now_s: float
    ) -> Scene:
        """What is to be drawn now."""
        changed = self._rows.changed(book)
        self._take_in(book, changed, now_s)
        self._metrics |= learning.metric_names(book, changed)
        shown = learning.shown(book, selected)
        self._colours.share(shown)
        first = book.began.metric if book.began else ""
        return Scene(
            book=book,
            changed=frozenset(changed),
            ended=self._ended,
            selected=tuple(selected),
            shown=tuple(shown),
            colours=self._colours,
            metrics=(first, *sorted(self._metrics - {first})) if first else (),
            brushes=brushes,
            now_s=now_s,
        )

    def _take_in(self, book: Book, changed: Sequence[int], now_s: float) -> None:
        """Take in what has ended: many trials only now and then, for a page paints them all."""
        self._waiting.update(changed)
        is_due = now_s >= self._taken_s + _EVERY_S or book.ended is not None
        if is_due or len(self._ended.number) < _MANY or not self._ended.is_of(book):
            self._ended.add(book, sorted(self._waiting))
            self._waiting.clear()
            self._taken_s = now_s
