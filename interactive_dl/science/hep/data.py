"""Events of three channels in the layout of the benchmark's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interactive_dl import data
from interactive_dl.science.hep.config import Config
from interactive_dl.science.rpv import detector, events, selection
from interactive_dl.science.rpv.data import event_weights
from interactive_dl.science.splits import SPLIT_START

_BLOCK = 500


@dataclass(frozen=True)
class Events:
    """Simulated events.

    Attributes:
        data: hadronic energy, electromagnetic energy and tracks (``detector.channels``), float32,
            shape (events, 3, size, size).
        label: 1 for signal, 0 for background, int64, shape (events,).
        psr: whether the physicists' cuts call it signal ("passes signal region"), bool, (events,).
    """

    data: np.ndarray
    label: np.ndarray
    psr: np.ndarray


def generate(count: int, *, size: int, seed: int = 0, start: int = 0) -> Events:
    """Simulate events, half of them signal.

    Event ``i`` depends on ``seed`` and ``start + i`` alone.

    Args:
        count: number of events.
        size: pixels in eta and in phi.
        seed: of all events together.
        start: number of the first event.
    """
    images = np.empty((count, 3, size, size), np.float32)
    label = np.empty(count, np.int64)
    psr = np.empty(count, bool)
    for index in range(count):
        rng = np.random.default_rng((seed, start + index))
        label[index] = rng.random() < 0.5
        partons = events.signal(rng) if label[index] else events.background(rng)
        images[index] = detector.channels(rng, partons, size)
        psr[index] = selection.passes(selection.find_jets(rng, partons))
    return Events(images, label, psr)


def write(config: Config, folder: Path, seed: int) -> None:
    """Simulate ``train.h5``, ``val.h5`` and ``test.h5``."""
    for split, count in {"train": config.train, "val": config.val, "test": config.test}.items():
        write_hdf5(
            folder / f"{split}.h5", count, size=config.size, seed=seed, start=SPLIT_START[split]
        )


def write_hdf5(path: Path, count: int, *, size: int, seed: int = 0, start: int = 0) -> None:
    """Simulate events and write ``data``, ``label``, ``psr``, ``weight`` and ``normweight``.

    The layout is that of ``hep_cnn_benchmark``. ``weight`` says how many events each stands for at
    100 / fb, ``normweight`` the same with a mean of 1. Only a block of events is held in memory.
    """
    import h5py

    with h5py.File(path, "w") as file:
        images = file.create_dataset("data", (count, 3, size, size), np.float32)
        label, psr = np.empty(count, np.int64), np.empty(count, bool)
        for begin in range(0, count, _BLOCK):
            block = slice(begin, min(begin + _BLOCK, count))
            made = generate(block.stop - begin, size=size, seed=seed, start=start + begin)
            images[block], label[block], psr[block] = made.data, made.label, made.psr
        weight = event_weights(label)
        file.update({"label": label, "psr": psr, "weight": weight})
        file["normweight"] = weight / weight.mean()


def open(folder: Path, split: str) -> data.Dataset:
    """A split, channels last and labels as integers; its own layout or the benchmark's."""
    return data.Dataset(ChannelsLast(data.open(folder, split, x="data", y="label")))


@dataclass(frozen=True)
class ChannelsLast:
    """Images whose channels come first, turned round."""

    source: data.Source

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Images, float32, shape (n, height, width, channels), and labels, int64, shape (n,)."""
        images, label = self.source.read(indices)
        return np.ascontiguousarray(np.moveaxis(images, 1, -1)), label.astype(np.int64)
