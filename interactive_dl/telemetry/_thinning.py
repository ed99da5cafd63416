"""Columns of bounded size: of a long run's many numbers, every second, fourth, ... row is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from interactive_dl.telemetry._columns import Block, Columns, Order, Table

MOST_NUMBERS = 2**21
"""In one table; 16 MB, or six hours of four ranks' reports."""
RECENT = 32


class ThinTable:
    """A ``Table`` that keeps at most about ``most`` numbers, evenly spread over the run.

    The records of each engine form stretches of ``2 ** level`` by their ``seq``; of each stretch
    the first row stays; so do the newest of all. The level follows from what has come, so that the
    same rows make the same columns, in whatever order they come.

    Args:
        order: names of columns to sort by.
        most: numbers to keep.
        recent: so many rows, the newest, are kept besides.
    """

    def __init__(self, order: Order, most: int = MOST_NUMBERS, recent: int = RECENT) -> None:
        self._order = order
        self._most = most
        self._recent = recent
        self._level = 0
        self._table = Table(order)
        self._rows = 0
        self._whole: Columns | None = None
        self._shown: Columns | None = None

    def chosen(self, origin: Block) -> np.ndarray:
        """Which rows would stay now: bool, shape (rows,). The others need not be made.

        Args:
            origin: ``time_s``, ``engine`` and ``seq`` of rows, and whatever else.
        """
        if self._level == 0:
            return np.ones(len(origin["seq"]), bool)
        return firsts(origin, self._level) | newest(origin, self._recent)

    def append(self, block: Block) -> None:
        """Add rows, which may be some of those that were ``chosen``; see ``Table.append``."""
        self._table.append(block)
        self._rows += len(block["seq"])
        if self._rows * _width(block) > 2 * self._most:
            self._forget()

    def columns(self, names: Sequence[str]) -> Columns:
        """The rows that are kept; see ``Table.columns``."""
        whole = self._table.columns(names)
        if self._shown is None or whole is not self._whole:
            self._whole, self._shown = whole, self._thinned(whole)[1]
        return self._shown

    def _thinned(self, whole: Columns) -> tuple[int, Columns]:
        width = _width(whole)
        if self._level == 0 and whole.rows * width <= self._most:
            return 0, whole
        level, kept = thinned(whole, self._most // width, self._level)
        return level, whole.without(~(kept | newest(whole, self._recent)))

    def _forget(self) -> None:
        self._level, left = self._thinned(self._table.columns(()))
        self._table, self._rows = Table(self._order), left.rows
        self._table.append(left)


def thinned(rows: Block, most: int, level: int = 0) -> tuple[int, np.ndarray]:
    """Which rows stay where at most ``most`` shall, and no fewer than one of each engine.

    Args:
        rows: with their ``engine`` and ``seq``.
        most: rows.
        level: of what has been left out before.

    Returns:
        the lowest level from ``level`` on that does it, and bool, shape (rows,).
    """
    most = max(most, len(np.unique(rows["engine"])))
    while True:
        kept = firsts(rows, level)
        if kept.sum() <= most:
            return level, kept
        level += 1


def firsts(rows: Block, level: int) -> np.ndarray:
    """Which rows are the first of their engine's stretch of ``2 ** level``: bool, shape (rows,)."""
    engine, seq = rows["engine"], rows["seq"]
    order = np.lexsort((seq, engine))
    stretch = seq[order] // 2**level
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(stretch) != 0) | (np.diff(engine[order]) != 0)
    return _marked(order[begins], len(order))


def newest(rows: Block, count: int) -> np.ndarray:
    """Which rows are the ``count`` newest: bool, shape (rows,)."""
    order = np.lexsort((rows["seq"], rows["engine"], rows["time_s"]))
    return _marked(order[len(order) - min(count, len(order)) :], len(order))


def _width(block: Block) -> int:
    """Numbers in a row."""
    return sum(math.prod(column.shape[1:]) for column in block.values())


def _marked(at: np.ndarray, rows: int) -> np.ndarray:
    marked = np.zeros(rows, bool)
    marked[at] = True
    return marked
