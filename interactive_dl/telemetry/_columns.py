"""Columns of numbers that grow row by row and stay in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from interactive_dl.telemetry._timeline import age
from interactive_dl.telemetry.events import Record

Block = Mapping[str, np.ndarray]
Order = tuple[str, ...]
_FOLDED_AT = 4096  # while they are still in the processor's cache, and before they fill the memory


class Columns(Mapping[str, np.ndarray]):
    """Read-only arrays of one length, by name, which do not change any more."""

    def __init__(self, arrays: Mapping[str, np.ndarray], rows: int) -> None:
        self._arrays = dict(arrays)
        self.rows = rows

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Columns({self.rows} rows: {', '.join(self._arrays)})"


class Table:
    """Turns records into rows, when somebody looks.

    Records come in any order; rows are sorted. Taking records costs little, looking costs
    what has come since somebody looked last.

    Args:
        to_block: the columns of some records, each with one entry (or one row) per record.
        order: names of columns to sort by, the most significant first.
    """

    def __init__(self, to_block: Callable[[list[Record]], Block], order: Order) -> None:
        self._to_block = to_block
        self._order = order
        self._pending: list[Record] = []
        self._rows = 0
        self._grown: dict[str, np.ndarray] = {}
        self._shown: Columns | None = None
        self.latest: Record | None = None

    def take(self, record: Record) -> None:
        """Add a record."""
        self.extend((record,))

    def extend(self, records: Iterable[Record]) -> None:
        """Add records."""
        self._pending += records
        if len(self._pending) >= _FOLDED_AT:
            self._fold()
            self._shown = None

    def columns(self, names: Sequence[str]) -> Columns:
        """All rows so far, also of the columns ``names`` if nothing was ever in them."""
        if self._pending or self._shown is None:
            self._fold()
            arrays = {
                name: _read_only(self._grown[name][: self._rows]) for name in sorted(self._grown)
            }
            absent = _read_only(np.full(self._rows, np.nan))
            self._shown = Columns(dict.fromkeys(names, absent) | arrays, self._rows)
        return self._shown

    def newest(self) -> Record | None:
        """The record with the latest time."""
        if self._pending:
            self._fold()
            self._shown = None
        return self.latest

    def _fold(self) -> None:
        records, self._pending = self._pending, []
        if not records:
            return
        block = self._to_block(records)
        self._note_latest(records, block["time_s"])
        begin, self._rows = self._rows, self._rows + len(records)
        for name in {**self._grown, **block}:
            self._grown[name] = _append(self._grown.get(name), block.get(name), begin, self._rows)
        self._sort(begin)

    def _note_latest(self, records: list[Record], time_s: np.ndarray) -> None:
        candidates = [records[row] for row in np.flatnonzero(time_s == time_s.max())]
        if self.latest is not None:
            candidates.append(self.latest)
        self.latest = max(candidates, key=age)

    def _sort(self, begin: int) -> None:
        """Only what is out of order costs: new rows nearly always belong at the end."""
        since = max(0, begin - 1)
        if np.all(np.diff(self._grown[self._order[0]][since : self._rows]) > 0):
            return
        keys = [self._grown[name][since : self._rows] for name in reversed(self._order)]
        if _is_sorted(np.lexsort(keys)):
            return
        keys = [self._grown[name][: self._rows] for name in reversed(self._order)]
        order = np.lexsort(keys)
        # New arrays: somebody may still look at the old ones.
        self._grown = {name: grown[: self._rows][order] for name, grown in self._grown.items()}


def _append(grown: np.ndarray | None, block: np.ndarray | None, begin: int, end: int) -> np.ndarray:
    """``grown`` with ``block`` in its rows ``begin .. end - 1``, and room for more after them."""
    some = block if block is not None else grown
    assert some is not None
    width = max(
        (one.shape[1] for one in (grown, block) if one is not None and one.ndim > 1), default=0
    )
    cell = (width,) if some.ndim > 1 else ()
    if grown is None or len(grown) < end or grown.shape[1:] != cell:
        roomy = np.full((2 * end, *cell), np.nan)
        if grown is not None:
            roomy[(slice(begin), *map(slice, grown.shape[1:]))] = grown[:begin]
        grown = roomy
    if block is not None:
        grown[(slice(begin, end), *map(slice, block.shape[1:]))] = block
    return grown


def _is_sorted(order: np.ndarray) -> bool:
    return bool(np.all(order == np.arange(len(order))))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array[:]
    view.flags.writeable = False
    return view
