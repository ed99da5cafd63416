"""Reading maps: ours, or the original's one npy file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from interactive_dl import data
from interactive_dl.errors import SourceNotFoundError, UnreadableSourceError


def open(folder: Path, split: str) -> data.Dataset:
    """The maps of a split, from ``<folder>/<split>.npy``; opened when it is used.

    x: pixels in the range of tanh, float32, shape (maps, size, size, 1). y: their amplitude, from
    ``<split>_amplitude.npy``, or zeros where there is no such file, shape (maps,).

    The original's file (``cosmogan_maps_256_8k_1.npy``) is read when it has the split's name.
    """
    return data.Dataset(MapSource(Path(folder) / f"{split}.npy"))


@dataclass(frozen=True)
class MapSource:
    """Maps of an npy file, read piece by piece.

    Args:
        file: an array of shape (maps, size, size).
    """

    file: Path

    def __len__(self) -> int:
        return len(self._maps)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Maps and amplitudes in the order of ``indices``."""
        return np.array(self._maps[indices]), self._amplitude[indices]

    @cached_property
    def _maps(self) -> np.ndarray:
        if not self.file.is_file():
            raise SourceNotFoundError(
                f"There is no file {self.file} (working directory: {Path.cwd()}). It must be"
                " readable on every host that has an engine."
            )
        try:
            maps: np.ndarray = np.load(self.file, mmap_mode="r")
        except (ValueError, EOFError) as error:
            raise UnreadableSourceError(
                f"{self.file} cannot be read as an npy file ({error}). It may not have been"
                " written to the end: copy or generate it again."
            ) from error
        if maps.ndim != 3:
            raise UnreadableSourceError(
                f"Maps must have the shape (maps, size, size), but {self.file} has {maps.shape}."
            )
        return maps

    @cached_property
    def _amplitude(self) -> np.ndarray:
        file = self.file.with_name(f"{self.file.stem}_amplitude.npy")
        return np.load(file) if file.is_file() else np.zeros(len(self), np.float32)

    def __reduce__(self) -> tuple[type[MapSource], tuple[Path]]:
        return MapSource, (self.file,)
