"""Events for training: generated sample by sample, each from a seed of its own, and written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl.science.rpv import detector, events, selection
from interactive_dl.science.splits import SPLIT_START

if TYPE_CHECKING:
    from interactive_dl.data import Dataset

LUMINOSITY_PER_FB = 100.0


@dataclass(frozen=True)
class Events:
    """Simulated events.

    Attributes:
        hist: log(1 + E_T / GeV) / 5 of the calorimeter, float32, shape (events, size, size).
        y: 1 for signal, 0 for background, float32, shape (events,).
        weight: how many events each stands for at 100 / fb, float32, shape (events,).
        passes_cuts: whether the physicists' cuts call it signal, bool, shape (events,).
    """

    hist: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    passes_cuts: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def dataset(self) -> Dataset:
        """The events as a data set in memory."""
        from interactive_dl import data

        return data.from_arrays(self.hist, self.y)


def generate(count: int, *, size: int = 32, seed: int = 0, start: int = 0) -> Events:
    """Simulate events, half of them signal (0.8 ms each).

    Event ``i`` depends on ``seed`` and ``start + i`` alone, so that every rank can generate its
    own share, and a longer sample begins with the events of a shorter one.

    Args:
        count: number of events.
        size: pixels in eta and in phi.
        seed: of all events together.
        start: number of the first event.
    """
    hist = np.empty((count, size, size), np.float32)
    y = np.empty(count, np.float32)
    passes_cuts = np.empty(count, bool)
    for index in range(count):
        rng = np.random.default_rng((seed, start + index))
        is_signal = rng.random() < 0.5
        partons = events.signal(rng) if is_signal else events.background(rng)
        y[index] = is_signal
        hist[index] = detector.image(rng, partons, size)
        passes_cuts[index] = selection.passes(selection.find_jets(rng, partons))
    return Events(hist, y, event_weights(y), passes_cuts)


def event_weights(y: np.ndarray) -> np.ndarray:
    """How many events each of a sample stands for at 100 / fb: float32, shape (events,).

    Args:
        y: 1 for signal, 0 for background, shape (events,).
    """
    signal = y == 1
    each = [
        events.BACKGROUND_FB / max(int((~signal).sum()), 1),
        events.SIGNAL_FB / max(int(signal.sum()), 1),
    ]
    return (LUMINOSITY_PER_FB * np.where(signal, each[1], each[0])).astype(np.float32)


def write_hdf5(
    path: str | os.PathLike[str], count: int, *, size: int = 32, seed: int = 0, start: int = 0
) -> Path:
    """Generate events and write them as ``all_events/hist``, ``y``, ``weight`` and ``passSR``.

    The layout is that of the RPV files of ``cori-intml-examples`` and ``atlas_dl``. The file
    appears whole or not at all: it is written under another name, then renamed.

    Returns:
        The file's path.
    """
    import h5py

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    generated = generate(count, size=size, seed=seed, start=start)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with h5py.File(unfinished, "w") as file:
            group = file.create_group("all_events")
            group["hist"] = generated.hist
            group["y"] = generated.y
            group["weight"] = generated.weight
            group["passSR"] = generated.passes_cuts
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def write_splits(
    folder: str | os.PathLike[str],
    *,
    train: int = 6000,
    val: int = 1500,
    test: int = 1500,
    size: int = 32,
    seed: int = 0,
) -> Path:
    """Write ``train.h5``, ``val.h5`` and ``test.h5`` with events of their own each.

    The events of a split do not depend on the sizes of the others.

    Returns:
        The folder, for ``data.open(folder, split="train")``.
    """
    for split, count in {"train": train, "val": val, "test": test}.items():
        write_hdf5(
            Path(folder) / f"{split}.h5", count, size=size, seed=seed, start=SPLIT_START[split]
        )
    return Path(folder)
