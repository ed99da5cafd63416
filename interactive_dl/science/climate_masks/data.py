"""Frames in the original's files: one HDF5 file for each, and one for the channels' ranges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from interactive_dl import data
from interactive_dl.errors import SourceNotFoundError, UnreadableSourceError
from interactive_dl.science.climate_masks.config import Config
from interactive_dl.science.climate_masks.frames import Frame, simulate
from interactive_dl.science.splits import SPLIT_START

SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
STATS = "stats.h5"
_LABELS = ("labels_0", "labels")


def generate(config: Config, number: int, seed: int = 0) -> Frame:
    """Frame ``number``, which depends on it and on ``seed`` alone."""
    rng = np.random.default_rng((seed, number))
    return simulate(rng, *config.input_shape)


def write(config: Config, folder: Path, seed: int) -> None:
    """Simulate all splits; one frame is held in memory.

    ``train``, ``validation`` and ``test`` have a file ``data-<number>.h5`` for each frame with
    ``climate/data`` (height, width, channels) and ``climate/labels_0`` (height, width), as the
    original's. ``stats.h5`` has ``climate/stats`` (channels, 4): mean, maximum, minimum and
    standard deviation over the training frames.
    """
    import h5py

    ranges = _Ranges(config.channels)
    for split, start in SPLIT_START.items():
        inside = folder / SPLIT_FOLDERS[split]
        inside.mkdir()
        for number in range(getattr(config, split)):
            frame = generate(config, start + number, seed)
            with h5py.File(inside / f"data-{number:06d}.h5", "w") as file:
                file["climate/data"], file["climate/labels_0"] = frame.data, frame.labels
            if split == "train":
                ranges.add(frame.data)
    with h5py.File(folder / STATS, "w") as file:
        file["climate/stats"] = ranges.table()


class _Ranges:
    """Mean, maximum, minimum and standard deviation of each channel, frame by frame."""

    def __init__(self, channels: int) -> None:
        self._pixels = 0
        self._sum, self._sum_of_squares = np.zeros(channels), np.zeros(channels)
        self._maximum, self._minimum = np.full(channels, -np.inf), np.full(channels, np.inf)

    def add(self, frame: np.ndarray) -> None:
        pixels = frame.reshape(-1, frame.shape[-1]).astype(np.float64)
        self._pixels += len(pixels)
        self._sum += pixels.sum(axis=0)
        self._sum_of_squares += (pixels**2).sum(axis=0)
        self._maximum = np.maximum(self._maximum, pixels.max(axis=0))
        self._minimum = np.minimum(self._minimum, pixels.min(axis=0))

    def table(self) -> np.ndarray:
        """Float32, shape (channels, 4)."""
        mean = self._sum / self._pixels
        deviation = np.sqrt(self._sum_of_squares / self._pixels - mean**2)
        return np.stack([mean, self._maximum, self._minimum, deviation], axis=1).astype(np.float32)


def open(folder: Path, split: str) -> data.Dataset:
    """The frames of a split, ours or the original's; nothing is opened before it is used.

    x: channels, of which the training frames' range is 0 .. 1, float32, shape (frames, height,
    width, channels). y: 0 background, 1 cyclone, 2 river, uint8, shape (frames, height, width).

    Args:
        folder: with ``stats.h5``, and with a folder for each split (``train``, ``validation`` or
            ``val``, ``test``), in which all ``*data*.h5`` are frames.
        split: ``train``, ``val`` or ``test``.

    Raises, at first use:
        SourceNotFoundError: there is none of these.
        UnreadableSourceError: a file lacks what it should have.
    """
    folder = Path(folder)
    inside = folder / SPLIT_FOLDERS[split]
    return data.Dataset(FrameSource(inside if inside.is_dir() else folder / split))


@dataclass(frozen=True)
class FrameSource:
    """Frames of a folder, in the order of the files' names.

    ``stats.h5`` is in it, or in the folder above; it has ``climate/stats``, or ``climate/minval``
    and ``climate/maxval`` as in DeepCAM. Frames with some of its channels only have their numbers
    in ``climate/channels``. Labels are ``labels_0``, or ``labels``; of several sets of
    labels the first is taken.
    """

    folder: Path

    def __len__(self) -> int:
        return len(self._files)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Channels and labels in the order of ``indices``."""
        frames = [self._frame(self._files[index]) for index in indices.tolist()]
        if not frames:
            return np.empty((0, 0, 0, 0), np.float32), np.empty((0, 0, 0), np.uint8)
        channels, labels = zip(*frames, strict=True)
        minimum, maximum = self._range
        return (np.stack(channels) - minimum) / (maximum - minimum), np.stack(labels)

    @cached_property
    def _files(self) -> list[Path]:
        found = sorted(self.folder.glob("*data*.h5"))
        if not found:
            raise SourceNotFoundError(
                f"There is no *data*.h5 in {self.folder} (working directory: {Path.cwd()}). It must"
                " be readable on every host that has an engine."
            )
        return found

    @cached_property
    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest value of each channel, float32, shape (channels,) each."""
        places = [self.folder / STATS, self.folder.parent / STATS]
        for place in places:
            if place.is_file():
                minimum, maximum = _range_in(place)
                kept = self._kept(len(minimum))
                return minimum[kept], maximum[kept]
        raise SourceNotFoundError(
            f"The channels' ranges must be in {places[0]} or {places[1]}, but neither is there."
            " Copy the stats.h5 that belongs to the frames."
        )

    def _kept(self, channels: int) -> np.ndarray | slice:
        """Which of so many channels the frames have."""
        with _opened(self._files[0]) as climate:
            has_all = climate["data"].shape[-1] == channels
            return slice(None) if has_all or "channels" not in climate else climate["channels"][:]

    def _frame(self, file: Path) -> tuple[np.ndarray, np.ndarray]:
        with _opened(file) as climate:
            labels = next((name for name in _LABELS if name in climate), None)
            if labels is None or "data" not in climate:
                raise _lacking(file, "climate/data and climate/labels_0", climate)
            classes = climate[labels][:]
            return climate["data"][:], (classes[0] if classes.ndim == 3 else classes).astype("u1")

    def __reduce__(self) -> tuple[type[FrameSource], tuple[Path]]:
        return FrameSource, (self.folder,)


def _range_in(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with _opened(file) as climate:
        if "stats" in climate:
            _, maximum, minimum, _ = climate["stats"][:].T
        elif "minval" in climate and "maxval" in climate:
            minimum, maximum = climate["minval"][:], climate["maxval"][:]
        else:
            raise _lacking(file, "climate/stats, or climate/minval and climate/maxval", climate)
        return minimum.astype(np.float32), maximum.astype(np.float32)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """The group ``climate`` of an HDF5 file.

    Raises:
        UnreadableSourceError: it is none, or has no such group.
    """
    import h5py

    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise UnreadableSourceError(
            f"{file} cannot be read as an HDF5 file ({error}). It may not have been written to the"
            " end: copy or generate it again."
        ) from error
    with opened:
        if "climate" not in opened:
            raise _lacking(file, "a group climate", opened)
        yield opened["climate"]


def _lacking(file: Path, needed: str, present: Any) -> UnreadableSourceError:
    has = ", ".join(sorted(present)) or "nothing"
    return UnreadableSourceError(f"{file} must have {needed}, but has {has}.")
