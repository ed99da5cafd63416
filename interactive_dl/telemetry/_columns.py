"""Columns of numbers that grow row by row and stay in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_AT_ONCE = 64

Block = Mapping[str, np.ndarray]
Order = tuple[str, ...]
Row = Mapping[str, float]
Age = tuple[float, float, float]
"""Time, engine, seq."""


class Columns(Mapping[str, np.ndarray]):
    """Read-only arrays of one length, by name, which do not change any more."""

    def __init__(self, arrays: Mapping[str, np.ndarray], rows: int) -> None:
        self._arrays = dict(arrays)
        self._newest: Row | None = None
        self.rows = rows

    def without(self, rows: np.ndarray) -> Columns:
        """The same columns without some rows: bool, shape (rows,)."""
        if not rows.any():
            return self
        kept = {name: _read_only(array[~rows]) for name, array in self._arrays.items()}
        return Columns(kept, self.rows - int(rows.sum()))

    def is_older(self, age: Age) -> np.ndarray:
        """Which rows are older than ``age``, a record's: bool, shape (rows,)."""
        time_s, engine, seq = age
        same_time = self["time_s"] == time_s
        same_engine = self["engine"] == engine
        by_number = same_engine & (self["seq"] < seq)
        return (self["time_s"] < time_s) | (same_time & ((self["engine"] < engine) | by_number))

    def newest(self) -> Row | None:
        """The cells of the row with the latest time, by column; None without rows."""
        if self._newest is None and self.rows:
            time_s = self["time_s"]
            rows = (_row(self, int(at)) for at in np.flatnonzero(time_s == time_s.max()))
            self._newest = max(rows, key=age_of_row)
        return self._newest

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Columns({self.rows} rows: {', '.join(self._arrays)})"


class Table:
    """Rows in order, added block by block.

    Blocks may come in any order. Adding one costs what it has, unless it belongs before others.

    Args:
        order: names of columns to sort by, the most significant first.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._rows = 0
        self._new: list[Block] = []
        self._grown: dict[str, np.ndarray] = {}
        self._shown: Columns | None = None

    def append(self, block: Block) -> None:
        """Add rows.

        Args:
            block: the columns of ``order``, ``time_s``, ``engine`` and ``seq``, and others.
        """
        self._new.append(block)
        self._shown = None
        if len(self._new) == _AT_ONCE:
            self._take_new()

    def columns(self, names: Sequence[str]) -> Columns:
        """All rows so far, also of the columns ``names`` if nothing was ever in them."""
        if self._shown is None:
            self._take_new()
            arrays = {
                name: _read_only(self._grown[name][: self._rows]) for name in sorted(self._grown)
            }
            absent = _read_only(np.full(self._rows, np.nan))
            self._shown = Columns(dict.fromkeys(names, absent) | arrays, self._rows)
        return self._shown

    def _take_new(self) -> None:
        """Put the latest blocks into the columns; each time costs more than what they have does."""
        if not self._new:
            return
        block = joined(self._new)
        self._new = []
        begin, self._rows = self._rows, self._rows + len(block["time_s"])
        for name in {**self._grown, **block}:
            self._grown[name] = _append(self._grown.get(name), block.get(name), begin, self._rows)
        self._sort(begin)

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


def joined(blocks: Sequence[Block]) -> Block:
    """One block after the other, NaN where one has no such column, or a narrower one."""
    if len(blocks) == 1:
        return blocks[0]
    ends = np.cumsum([len(block["time_s"]) for block in blocks]).tolist()
    return {
        name: _joined([block.get(name) for block in blocks], ends)
        for name in {name: None for block in blocks for name in block}
    }


def _joined(parts: list[np.ndarray | None], ends: list[int]) -> np.ndarray:
    known = [part for part in parts if part is not None]
    widths = {part.shape[1:] for part in known}
    if len(known) == len(parts) and len(widths) == 1:  # nearly always
        return np.concatenate(known)
    whole = np.empty((ends[-1], *max(widths)))
    for part, begin, end in zip(parts, [0, *ends], ends, strict=False):
        _fill(whole[begin:end], part)
    return whole


def age_of_row(row: Row) -> Age:
    """Sorts rows as ``age`` sorts the records that they are of."""
    return row["time_s"], row["engine"], row["seq"]


def _row(block: Block, at: int) -> Row:
    return {name: float(column[at]) for name, column in block.items() if column.ndim == 1}


def _append(grown: np.ndarray | None, block: np.ndarray | None, begin: int, end: int) -> np.ndarray:
    """``grown`` with ``block`` in its rows ``begin .. end - 1``, and room for more after them."""
    if (
        grown is not None
        and block is not None
        and len(grown) >= end
        and grown.shape[1:] == block.shape[1:]
    ):  # nearly always
        grown[begin:end] = block
        return grown
    width = max(one.shape[1:] for one in (grown, block) if one is not None)
    if grown is None or len(grown) < end or grown.shape[1:] != width:
        # The system gives memory when it is written to: room costs nothing yet, copying does.
        roomy = np.empty((4 * end, *width))
        _fill(roomy[:begin], None if grown is None else grown[:begin])
        grown = roomy
    _fill(grown[begin:end], block)
    return grown


def _fill(into: np.ndarray, rows: np.ndarray | None) -> None:
    """Write rows, and NaN where they are narrower, or there are none."""
    if rows is None or rows.shape != into.shape:
        into[...] = np.nan
    if rows is not None:
        into[(slice(None), *map(slice, rows.shape[1:]))] = rows


def _is_sorted(order: np.ndarray) -> bool:
    return bool(np.all(order == np.arange(len(order))))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array[:]
    view.flags.writeable = False
    return view
