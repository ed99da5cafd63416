"""Reading the files of the three variants, ours or the originals'."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl import data
from interactive_dl.errors import SourceNotFoundError, UnreadableSourceError
from interactive_dl.science.cosmoflow import records
from interactive_dl.science.cosmoflow.data import SPLIT_FOLDERS

if TYPE_CHECKING:
    import h5py

MLPERF_SIDE = 128
MOST_CHANNELS = 4


def open(folder: Path, split: str) -> data.Dataset:
    """The samples of a split; only names are looked at before it is used.

    x: numbers of particles, float32, shape (samples, side, side, side, channels). y: float32,
    shape (samples, targets), as the file has them: MLPerf's lie in [-1, 1], those of the
    one-channel variants are the parameters themselves.

    Args:
        folder: with a folder for the split (``train``, ``validation`` or ``val``, ``test``) of
            ``*.tfrecord`` files (of MLPerf, plain or gzip, or of NERSC/CosmoFlow) or of MLPerf's
            ``*.hdf5`` universes; or with a file ``<split>.h5`` that has ``x`` and ``y``.
        split: ``train``, ``val`` or ``test``.

    Raises, at first use:
        SourceNotFoundError: there is none of these.
        UnreadableSourceError: a file that is not what its name says.
    """
    for name in (SPLIT_FOLDERS.get(split, split), split):
        inside = Path(folder) / name
        if any(inside.glob("*.tfrecord")):
            return data.Dataset(RecordSource(inside), channel_axis=False)
        if any(inside.glob("*.hdf5")):
            return data.Dataset(UniverseSource(inside), channel_axis=False)
    return data.open(folder, split, channel_axis=False)


@dataclass(frozen=True)
class RecordSource:
    """Samples in all TFRecord files of a folder, in the order of the files' names.

    Files of one size are taken to hold records of the same lengths, so that of MLPerf's half
    million only one is looked into; compressed files hold one record each.
    """

    folder: Path

    def __len__(self) -> int:
        return len(self._index)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Numbers of particles, shape (n, side, side, side, channels), and parameters."""
        samples = [self._sample(*self._index[index]) for index in indices.tolist()]
        if not samples:
            return (np.empty(0, np.float32),) * 2
        counts, parameters = zip(*samples, strict=True)
        return np.stack(counts), np.stack(parameters)

    @cached_property
    def _index(self) -> list[tuple[Path, records.Position | None]]:
        files = _files(self.folder, "*.tfrecord")
        if records.is_compressed(files[0]):
            return [(file, None) for file in files]
        positions_of_size: dict[int, list[records.Position]] = {}
        index: list[tuple[Path, records.Position | None]] = []
        for file in files:
            size = file.stat().st_size
            if size not in positions_of_size:
                positions_of_size[size] = records.positions(file)
            index += [(file, position) for position in positions_of_size[size]]
        return index

    def _sample(
        self, file: Path, position: records.Position | None
    ) -> tuple[np.ndarray, np.ndarray]:
        try:
            return _unpacked(records.read(file, position))
        except (KeyError, ValueError, IndexError, struct.error) as error:
            raise UnreadableSourceError(
                f"A CosmoFlow record must have x and y, or data_raw and label_raw, but one of"
                f" {file} cannot be read ({type(error).__name__}: {error})."
            ) from error


def _unpacked(features: Mapping[str, records.Feature]) -> tuple[np.ndarray, np.ndarray]:
    if "data_raw" in features:
        flat = np.frombuffer(features["data_raw"], "<f8")
        return _as_cube(flat), np.frombuffer(features["label_raw"], "<f8")
    x, y = features["x"], features["y"]
    assert isinstance(y, np.ndarray)
    return _as_cube(np.frombuffer(x, "<i2") if isinstance(x, bytes) else x), y


def _as_cube(flat: np.ndarray) -> np.ndarray:
    """Shape (side, side, side, channels); no number is n^3 and m^3 times 2, 3 or 4 as well.

    Raises:
        ValueError: it is neither.
    """
    for channels in range(1, MOST_CHANNELS + 1):
        side = round((len(flat) / channels) ** (1 / 3))
        if side**3 * channels == len(flat):
            return flat.reshape(side, side, side, channels)
    raise ValueError(f"{len(flat)} numbers are no cube of 1 to {MOST_CHANNELS} channels")


@dataclass(frozen=True)
class UniverseSource:
    """Samples cut out of MLPerf's universes: HDF5 files with ``full`` and ``unitPar``.

    Args:
        folder: with the files, all of one size.
        side: of a sample, in cells.
    """

    folder: Path
    side: int = MLPERF_SIDE

    def __len__(self) -> int:
        return len(self._universes) * self._per_side**3

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Numbers of particles, shape (n, side, side, side, channels), and units, (n, 4)."""
        universes, cubes = np.divmod(indices, self._per_side**3)
        corners = np.stack(np.unravel_index(cubes, (self._per_side,) * 3), axis=1) * self.side
        files = [self._universes[number] for number in universes.tolist()]
        counts = [
            file["full"][tuple(slice(low, low + self.side) for low in corner)]
            for file, corner in zip(files, corners.tolist(), strict=True)
        ]
        return np.array(counts), np.array([file["unitPar"][:] for file in files])

    @cached_property
    def _universes(self) -> list[h5py.File]:
        import h5py

        return [h5py.File(path, "r") for path in _files(self.folder, "*.hdf5")]

    @cached_property
    def _per_side(self) -> int:
        cells = len(self._universes[0]["full"])
        if cells % self.side:
            raise UnreadableSourceError(
                f"Samples of {self.side} cells must fill the universes of {self.folder}, but these"
                f" have {cells}. Say UniverseSource(folder, side=...)."
            )
        return int(cells // self.side)

    def __reduce__(self) -> tuple[type[UniverseSource], tuple[Path, int]]:
        return UniverseSource, (self.folder, self.side)


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceNotFoundError(
            f"There is no {pattern} in {folder}. It must be readable on every host that has an"
            " engine."
        )
    return found
