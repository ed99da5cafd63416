"""What a training and its readers have in common: how to read, and the memory that they share."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from interactive_dl.data.sources import Source
from interactive_dl.errors import DataError

Batch = tuple[np.ndarray, ...]
_ALIGNED = 64


@dataclass(frozen=True)
class Reading:
    """From numbers of samples to a batch; called by who trains, or by a reader.

    Args:
        source: of the samples.
        transform: what a batch goes through, if anything.
    """

    source: Source
    transform: Callable[..., Batch] | None

    def __call__(self, indices: np.ndarray) -> Batch:
        """The batch of the samples ``indices`` (int64)."""
        batch = self.source.read(indices)
        return batch if self.transform is None else self.transform(*batch)


class Lying(NamedTuple):
    """How an array lies in a slot: its type as NumPy writes it, its shape, its first byte."""

    kind: str
    shape: tuple[int, ...]
    offset: int


class Failure(NamedTuple):
    """An error, and where it came from."""

    error: Exception
    text: str


class Slot:
    """Memory that two processes share, of any size.

    It has no name (``memfd_create``), and goes with the last process that has it.

    Args:
        descriptor: of the memory.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory: mmap.mmap | None = None

    def put(self, arrays: Batch) -> list[Lying]:
        """Write arrays into it; it grows if they do not fit.

        Raises:
            DataError: an array of Python objects or records.
        """
        lying, end = [], 0
        for array in arrays:
            if array.dtype.hasobject or array.dtype.names:
                raise DataError(
                    "Readers hand over arrays of one kind of number or text, but a batch has"
                    f" {array.dtype}. Convert it in `map`, or read without: .batch(n, readers=0)."
                )
            lying.append(Lying(array.dtype.str, array.shape, end))
            end += -(-array.nbytes // _ALIGNED) * _ALIGNED
        if end > os.fstat(self.descriptor).st_size:
            os.ftruncate(self.descriptor, end)
        for array, one in zip(arrays, lying, strict=True):
            np.copyto(self._view(one), array)
        return lying

    def take(self, lying: list[Lying]) -> Batch:
        """Copies of the arrays in it."""
        return tuple(self._view(one).copy() for one in lying)

    def _view(self, lying: Lying) -> np.ndarray:
        size = os.fstat(self.descriptor).st_size
        if size == 0:  # no array has a byte, and no memory can be mapped
            return np.empty(lying.shape, lying.kind)
        if self._memory is None or len(self._memory) < size:
            self._memory = mmap.mmap(self.descriptor, size)
        return np.ndarray(lying.shape, lying.kind, self._memory, lying.offset)
