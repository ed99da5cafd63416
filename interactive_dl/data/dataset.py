"""Data sets as users meet them: opened, cast for a network, shared out over the ranks."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from interactive_dl.data.files import FileSource
from interactive_dl.data.keys import Keys
from interactive_dl.data.ranks import Alone, Communicator, agree
from interactive_dl.data.shard import Shard
from interactive_dl.data.shards import require_enough
from interactive_dl.data.sources import ArraySource, CachedSource, Source, gib

CACHE_GIB = 4.0


@dataclass(frozen=True)
class Dataset:
    """Samples ready for a network; a ``Source`` itself.

    x is float32, and images of shape (n, height, width) get a trailing channel axis; y is float32
    where it is a float or a truth value, else as it is stored; weight is float32.

    Args:
        source: where the samples come from.
        channel_axis: whether images without channels get the axis.
    """

    source: Source
    channel_axis: bool = True

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """x, y and perhaps weight of the samples, in the order of ``indices`` (int64)."""
        x, *others = self.source.read(indices)
        x = np.asarray(x, np.float32)
        if self.channel_axis and x.ndim == 3:
            x = x[..., np.newaxis]
        return (x, *(_as_float32_unless_integer(other) for other in others))

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All samples at once."""
        return self.read(np.arange(len(self)))

    def cached(self, limit_gib: float = CACHE_GIB) -> Dataset:
        """The same samples, held in memory from the first use on (on every rank all of them).

        Args:
            limit_gib: raise a ``DataError`` rather than take more than this.
        """
        return replace(self, source=CachedSource(self.source, limit_gib))

    def cached_if_small(self, limit_gib: float = CACHE_GIB) -> Dataset:
        """``cached`` where the samples fit into the limit, else these, read whenever used."""
        return self.cached(limit_gib) if gib(self.source) <= limit_gib else self

    def shard(
        self, group: Communicator | None = None, seed: int = 0, shuffle: bool = True
    ) -> Shard:
        """Share the samples out: every epoch, every sample goes to exactly one rank.

        The file is opened here. All ranks call this, and all raise the same error if one of them
        cannot read the data or if they see different data.

        Args:
            group: the ranks that train together, ``engine.init()``'s; none for a single process.
            seed: of the order of the samples, which is new in every epoch and alike on all ranks.
            shuffle: False to keep the order of the file.

        Raises:
            SourceNotFoundError, MissingKeyError, UnreadableSourceError: as in ``open``.
            SourcesDifferError: the ranks have different lengths, seeds or ``shuffle``.
            TooFewSamplesError: fewer samples than ranks.
        """
        ranks = Alone() if group is None else group

        def look() -> dict[str, Any]:
            samples = len(self)
            self.read(np.arange(min(1, samples)))
            return {"number of samples": samples, "seed": seed, "shuffle": shuffle}

        samples = agree(ranks, look)["number of samples"]
        require_enough(samples, ranks.size)
        return Shard(self, ranks, samples, seed, shuffle)


def open(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    weight: str | None = None,
    channel_axis: bool = True,
) -> Dataset:
    """A data set in HDF5 or npz files. Nothing is opened before it is used.

    A split is found in one of three places: ``path`` is a folder with ``train.h5``, ``val.h5``, ...
    (or ``.npz``); ``path`` is an HDF5 file with groups ``train``, ``val``, ...; ``path`` is an npz
    file with arrays ``x_train``, ``y_train``, ... Without ``split``, ``path`` is one file.

    Args:
        path: file or folder.
        split: name of the split.
        x, y: names of the arrays (within the split); by default ``all_events/hist`` and
            ``all_events/y`` (the RPV files), else ``hist`` and ``y``, else ``x`` and ``y``.
        weight: name of the samples' weights, if the training is to use them.
        channel_axis: add a trailing channel axis to images of shape (n, height, width).

    Errors come from the first use (``shard``, ``len``, ``read``): ``SourceNotFoundError``,
    ``MissingKeyError`` (lists the arrays that exist), ``UnreadableSourceError``.
    """
    return Dataset(FileSource(Path(path), split, Keys(x, y, weight)), channel_axis)


def from_arrays(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None, *, channel_axis: bool = True
) -> Dataset:
    """A data set in memory: arrays of shape (samples, ...).

    Raises:
        UnreadableSourceError: arrays of different lengths.
    """
    arrays = (x, y) if weight is None else (x, y, weight)
    return Dataset(ArraySource(tuple(map(np.asarray, arrays))), channel_axis)


def _as_float32_unless_integer(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind in "iu" else np.asarray(values, np.float32)
