"""Columns of bounded size: of a long run's many numbers, every second, fourth, ... row is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interactive_dl.telemetry._columns import Block, Columns, Order, Table

MOST_NUMBERS = 2**21
"""In one table; 16 MB, or seven hours of four ranks' reports."""


class ThinTable:
    """A ``Table`` that keeps at most about ``most`` numbers, evenly spread over the run.

    The records of each engine form stretches of ``2 ** level`` by their ``seq``; of each stretch
    the first row stays. The level follows from what has come, so that the same rows make the same
    columns, in whatever order they come.

    Args:
        order: names of columns to sort by.
        most: numbers to keep.
    """

    def __init__(self, order: Order, most: int = MOST_NUMBERS) -> None:
        self._order = order
        self._most = most
        self._level = 0
        self._table = Table(order)
        self._rows = 0
        self._whole: Columns | None = None
        self._shown: Columns | None = None

    def append(self, block: Block) -> None:
        """Add rows; see ``Table.append``."""
        if self._level:
            first = firsts(block["engine"], block["seq"], self._level)
            block = {name: column[first] for name, column in block.items()}
        self._table.append(block)
        self._rows += len(block["seq"])
        width = sum(int(np.prod(column.shape[1:])) for column in block.values())
        if self._rows * width > 2 * self._most:
            self._forget()

    def columns(self, names: Sequence[str]) -> Columns:
        """The rows that are kept; see ``Table.columns``."""
        whole = self._table.columns(names)
        if self._shown is None or whole is not self._whole:
            self._whole, self._shown = whole, self._thinned(whole)[1]
        return self._shown

    def _thinned(self, whole: Columns) -> tuple[int, Columns]:
        width = sum(int(np.prod(column.shape[1:])) for column in whole.values())
        if self._level == 0 and whole.rows * width <= self._most:
            return 0, whole
        engine, seq = whole["engine"], whole["seq"]
        level, kept = thinned(engine, seq, self._most // width, self._level)
        return level, whole.without(~kept)

    def _forget(self) -> None:
        self._level, left = self._thinned(self._table.columns(()))
        self._table, self._rows = Table(self._order), left.rows
        self._table.append(left)


def thinned(
    engine: np.ndarray, seq: np.ndarray, most_rows: int, level: int = 0
) -> tuple[int, np.ndarray]:
    """Which rows stay where at most ``most_rows`` shall, and no fewer than one of each engine.

    Args:
        engine, seq: origin of each row, shape (rows,).
        level: of what has been left out before.

    Returns:
        the lowest level from ``level`` on that does it, and bool, shape (rows,).
    """
    fewest = len(np.unique(engine))
    while True:
        kept = firsts(engine, seq, level)
        if kept.sum() <= max(most_rows, fewest):
            return level, kept
        level += 1


def firsts(engine: np.ndarray, seq: np.ndarray, level: int) -> np.ndarray:
    """Which rows are the first of their engine's stretch of ``2 ** level``: bool, shape (rows,)."""
    order = np.lexsort((seq, engine))
    stretch = seq[order] // 2**level
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(stretch) != 0) | (np.diff(engine[order]) != 0)
    first = np.empty(len(order), bool)
    first[order] = begins
    return first
