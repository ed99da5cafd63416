"""Frames in the layout of the original's files, and read for the network.

The original (https://extremeweatherdataset.github.io) has one HDF5 file per year with ``images``,
float32, (frames, 16, 768, 1152), and ``boxes``, (frames, 15, 5), as ``frames.Frame`` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from interactive_dl import data
from interactive_dl.data.locate import locate
from interactive_dl.science.climate_boxes import grid
from interactive_dl.science.climate_boxes.config import Config
from interactive_dl.science.climate_boxes.frames import KINDS, ROWS, draw
from interactive_dl.science.splits import SPLIT_START

PUBLISHED_CELL = 64
_GOLDEN = (5**0.5 - 1) / 2


def generate(
    config: Config, count: int, *, seed: int = 0, start: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw frames; number ``i`` depends on ``seed`` and ``start + i`` alone.

    Args:
        config: size, channels and classes.
        count: number of frames.
        seed: of all frames together.
        start: number of the first frame.

    Returns:
        Images, float32, shape (count, channels, size, size), and boxes, int32, (count, 15, 5).
    """
    images = np.empty((count, len(config.channels), config.size, config.size), np.float32)
    boxes = np.empty((count, ROWS, 5), np.int32)
    for index in range(count):
        rng = np.random.default_rng((seed, start + index))
        frame = draw(rng, config.size, config.channels, config.classes)
        images[index], boxes[index] = frame.image, frame.boxes
    return images, boxes


def write(config: Config, folder: Path, seed: int) -> None:
    """Draw ``train.h5``, ``val.h5`` and ``test.h5``, a frame at a time.

    Beside the original's datasets they have the attributes ``cell``, in pixels, and ``classes``,
    their number, which say how ``open`` gives the boxes.
    """
    import h5py

    for split, start in SPLIT_START.items():
        count = getattr(config, split)
        with h5py.File(folder / f"{split}.h5", "w") as file:
            file.attrs.update({"cell": config.cell, "classes": len(config.classes)})
            shape = (count, len(config.channels), config.size, config.size)
            images = file.create_dataset("images", shape, np.float32)
            boxes = file.create_dataset("boxes", (count, ROWS, 5), np.int32)
            for index in range(count):
                image, row = generate(config, 1, seed=seed, start=start + index)
                images[index], boxes[index] = image[0], row[0]


def open(folder: Path, split: str) -> data.Dataset:
    """A split of ours, or a year of the original's files that has the split's name (or is a link).

    x: fields in physical units, channels last, float32, shape (frames, size, size, channels).
    Frames that are wider than high, as the original's are, are cut to squares as in the "15 PF"
    paper, here to their western part. y: boxes as ``grid.encode`` gives them; in files without
    attributes a cell has 64 pixels, and there are 4 classes.
    """
    source = data.open(folder, split, x="images", y="boxes").source
    return data.Dataset(Squares(source, Path(folder), split))


@dataclass(frozen=True)
class Squares:
    """Frames channels last, cut to squares, with their boxes on a grid.

    Args:
        source: images and boxes of a file.
        folder, split: of that file.
    """

    source: data.Source
    folder: Path
    split: str

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Frames, float32, (n, size, size, channels), and grids, (n, cells, cells, 6 + classes)."""
        images, boxes, *_ = self.source.read(indices)
        size = images.shape[2]
        square = np.ascontiguousarray(np.moveaxis(images[..., :size], 1, -1))
        cell, classes = self._layout
        return square, grid.encode(within(boxes, size), size, cell, classes)

    @cached_property
    def _layout(self) -> tuple[int, int]:
        import h5py

        with h5py.File(locate(self.folder, self.split).file, "r") as file:
            classes = file.attrs.get("classes", len(KINDS))
            return int(file.attrs.get("cell", PUBLISHED_CELL)), int(classes)


def true_boxes(folder: Path, split: str) -> grid.Boxes:
    """The boxes of a split's file, also those for which the grid has no room."""
    import h5py

    with h5py.File(locate(folder, split).file, "r") as file:
        return grid.of_rows(within(file["boxes"][:], file["images"].shape[2]))


def within(boxes: np.ndarray, size: int) -> np.ndarray:
    """Boxes, (frames, rows, 5), cut at the frame's edges; without those whose centre is outside."""
    edges = boxes[..., :4]
    centre = (edges[..., :2] + edges[..., 2:]) / 2
    is_inside = (centre < size).all(axis=-1) & (boxes[..., 4] >= 0)
    cut = np.concatenate([np.clip(edges, 0, size), boxes[..., 4:]], axis=-1)
    return np.where(is_inside[..., np.newaxis], cut, -1)


def partly_labelled(samples: data.Dataset, share: float) -> data.Dataset:
    """The same frames, with a weight of 1 where ``keeps_label``, else of 0."""
    return data.Dataset(PartlyLabelled(samples, share))


@dataclass(frozen=True)
class PartlyLabelled:
    """Frames and grids, and whether the grid may be used."""

    source: data.Source
    share: float

    def __len__(self) -> int:
        return len(self.source)

    def read(self, indices: np.ndarray, /) -> tuple[np.ndarray, ...]:
        """Frames, grids, and weights, float32, shape (n,)."""
        x, y, *_ = self.source.read(indices)
        return x, y, keeps_label(indices, self.share).astype(np.float32)


def keeps_label(indices: np.ndarray, share: float) -> np.ndarray:
    """Whether frames are among the labelled ones, bool, by their number in the file.

    Those of a smaller share are among those of a larger one, and spread evenly.
    """
    is_among: np.ndarray = indices * _GOLDEN % 1 < share
    return is_among
