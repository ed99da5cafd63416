"""Columns of a plot on their way to a browser: only what is new is sent, numbers as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Column = np.ndarray | Sequence[str]
Columns = Mapping[str, Column]
"""Columns of equal length by name: numbers as arrays, texts as sequences."""


@dataclass(frozen=True)
class Patch:
    """What turns the columns that a browser has into those that it shall show.

    Attributes:
        keep: so many rows stay as they are.
        tail: the rows that follow them.
    """

    keep: int
    tail: Columns


def length(columns: Columns) -> int:
    """How many rows the columns have.

    Raises:
        ValueError: they are not equally long.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Columns of one source have equal lengths, but got {lengths}.")
    return next(iter(lengths.values()), 0)


def patch(old: Columns, new: Columns) -> Patch | None:
    """The shortest patch that keeps the rows that both begin with; None if they are equal."""
    rows = length(new)
    keep = 0
    if old.keys() == new.keys():
        keep = min((_common(old[name], column) for name, column in new.items()), default=0)
        if keep == rows == length(old):
            return None
    return Patch(keep, {name: column[keep:] for name, column in new.items()})


def encode(patches: Mapping[str, Patch]) -> tuple[dict[str, Any], list[bytes]]:
    """Patches by source as a message and its buffers.

    Numbers become float64, little-endian, in the order in which the message names them.
    """
    sources: dict[str, Any] = {}
    buffers: list[bytes] = []
    for source, one in patches.items():
        numbers = {k: v for k, v in one.tail.items() if isinstance(v, np.ndarray)}
        texts = {k: list(v) for k, v in one.tail.items() if k not in numbers}
        sources[source] = {"keep": one.keep, "numbers": list(numbers), "texts": texts}
        buffers += [np.ascontiguousarray(v, dtype="<f8").tobytes() for v in numbers.values()]
    return sources, buffers


def _common(old: Column, new: Column) -> int:
    """How many rows both begin with."""
    shared = min(len(old), len(new))
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        a, b = old[:shared], new[:shared]
        differs = np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))
        return int(differs[0]) if differs.size else shared
    pairs = zip(old[:shared], new[:shared], strict=True)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), shared)
