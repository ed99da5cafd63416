"""Where samples come from: one small protocol, and the arrays in memory behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from interactive_dl.errors import DataError, UnreadableSourceError


class Source(Protocol):
    """Samples by index. A source on disk is opened by the first ``len`` or ``read``."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Samples in the order of ``indices`` (int64, shape (n,)).

        Returns:
            x, y and, where the source has weights, weight; each of shape (n, ...).
        """
        ...


@dataclass(frozen=True)
class ArraySource:
    """Arrays in memory: x, y and perhaps weight, shapes (samples, ...).

    Raises:
        UnreadableSourceError: arrays of different lengths.
    """

    arrays: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        lengths = [len(array) for array in self.arrays]
        require_one_length(("x", "y", "weight"), lengths, "there are")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Samples in the order of ``indices``."""
        return tuple(array[indices] for array in self.arrays)


@dataclass(frozen=True)
class CachedSource:
    """Another source, read once and then held in memory.

    Args:
        source: where the samples come from.
        limit_gib: how much memory may be taken.
    """

    source: Source
    limit_gib: float

    def __len__(self) -> int:
        return len(self._held)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Samples in the order of ``indices``.

        Raises:
            DataError: they do not fit into the limit.
        """
        return self._held.read(indices)

    @cached_property
    def _held(self) -> ArraySource:
        needs_gib = gib(self.source)
        if needs_gib > self.limit_gib:
            raise DataError(
                f"Cached data must fit into `limit_gib` on every rank, but it needs {needs_gib:.2f}"
                f" GiB and (limit_gib={self.limit_gib}). Read it from the file without .cached(),"
                f" or allow more: .cached(limit_gib={needs_gib * 1.05:.2g})."
            )
        return ArraySource(self.source.read(np.arange(len(self.source))))

    def __reduce__(self) -> tuple[type[CachedSource], tuple[Source, float]]:
        return CachedSource, (self.source, self.limit_gib)


def gib(source: Source) -> float:
    """How much memory all samples take, by the first one."""
    samples = len(source)
    one = source.read(np.arange(min(1, samples)))
    return samples * sum(array.nbytes for array in one) / 2**30


def require_one_length(names: Sequence[str], lengths: Sequence[int], where: str) -> None:
    """Insist that arrays have one length.

    Raises:
        UnreadableSourceError: they do not; ``where`` says whose they are ("rpv.h5 has").
    """
    if len(set(lengths)) > 1:
        listed = ", ".join(f"{name}: {n}" for name, n in zip(names, lengths, strict=False))
        raise UnreadableSourceError(
            f"All arrays of a data set must have one length, but {where} {listed} samples."
            " Give arrays that belong to the same samples."
        )
