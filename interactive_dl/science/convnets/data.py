"""Drawings in files: our HDF5 ones, or CIFAR-10's own binary ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interactive_dl import data
from interactive_dl.science.convnets.config import Config
from interactive_dl.science.convnets.images import draw
from interactive_dl.science.splits import SPLIT_START

CIFAR_SPLITS = {
    "train": tuple(f"data_batch_{number}.bin" for number in (1, 2, 3, 4)),
    "val": ("data_batch_5.bin",),
    "test": ("test_batch.bin",),
}
_CIFAR_RECORD = np.dtype([("label", np.uint8), ("planes", np.uint8, (3, 32, 32))])
_BLOCK = 500


def generate(
    count: int, *, size: int, classes: int, seed: int = 0, start: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw images; number ``i`` depends on ``seed`` and ``start + i`` alone.

    Args:
        count: number of images.
        size: pixels in height and width.
        classes: kinds of drawings.
        seed: of all images together.
        start: number of the first image.

    Returns:
        Images, uint8, shape (count, size, size, 3), and labels, int64, shape (count,).
    """
    images = np.empty((count, size, size, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        rng = np.random.default_rng((seed, start + index))
        labels[index] = rng.integers(classes)
        images[index] = draw(rng, int(labels[index]), size)
    return images, labels


def write(config: Config, folder: Path, seed: int) -> None:
    """Draw ``train.h5``, ``val.h5`` and ``test.h5`` with ``x`` and ``y``; a block in memory."""
    import h5py

    for split, count in {"train": config.train, "val": config.val, "test": config.test}.items():
        with h5py.File(folder / f"{split}.h5", "w") as file:
            x = file.create_dataset("x", (count, *config.input_shape), np.uint8)
            y = file.create_dataset("y", (count,), np.int64)
            for begin in range(0, count, _BLOCK):
                block = slice(begin, min(begin + _BLOCK, count))
                x[block], y[block] = generate(
                    block.stop - begin,
                    size=config.size,
                    classes=config.classes,
                    seed=seed,
                    start=SPLIT_START[split] + begin,
                )


def open(folder: Path, split: str) -> data.Dataset:
    """A split of ours, or of CIFAR-10's binary files, whose last batch is for validation."""
    if (folder / CIFAR_SPLITS["test"][0]).is_file():
        return data.from_arrays(*_read_cifar([folder / name for name in CIFAR_SPLITS[split]]))
    return data.open(folder, split)


def _read_cifar(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    records = np.concatenate([np.fromfile(file, _CIFAR_RECORD) for file in files])
    return np.moveaxis(records["planes"], 1, -1), records["label"].astype(np.int64)
