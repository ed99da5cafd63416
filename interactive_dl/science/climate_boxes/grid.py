"""Boxes as a network gives them: for each cell of a grid at most one, whose centre lies in it.

The last axis of a grid has y and x of the box's centre within the cell, from 0 to 1; log2 of its
height and width in cells, at least 0; the probabilities of a box and of none; those of the classes.
In ``hur-detect`` the box comes in the same units, at 64 pixels a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOX = slice(0, 4)
OBJECT, NOTHING = 4, 5
CLASSES = slice(6, None)
FIRST_CLASS = 6


def encode(boxes: np.ndarray, size: int, cell: int, classes: int) -> np.ndarray:
    """The grid of true boxes; of two in one cell it has the last.

    Args:
        boxes: rows of ymin, xmin, ymax, xmax, in pixels, and class; of class -1 there are none.
            Shape (frames, rows, 5).
        size: pixels along each side of a frame.
        cell: pixels along each side of a cell.
        classes: how many.

    Returns:
        float32, shape (frames, size / cell, size / cell, 6 + classes).
    """
    side = size // cell
    grid = np.zeros((len(boxes), side, side, FIRST_CLASS + classes), np.float32)
    grid[..., NOTHING] = 1
    frame, row = np.nonzero(boxes[..., 4] >= 0)
    found = boxes[frame, row].astype(np.float64)
    low, high = found[:, :2] / cell, found[:, 2:4] / cell
    centre = (low + high) / 2
    place = np.clip(centre.astype(np.int64), 0, side - 1)
    extent = np.log2(np.maximum(high - low, 1))
    where = (frame, place[:, 0], place[:, 1])
    grid[where] = 0
    grid[(*where, slice(0, 2))] = centre - place
    grid[(*where, slice(2, 4))] = extent
    grid[(*where, OBJECT)] = 1
    grid[(*where, FIRST_CLASS + found[:, 4].astype(np.int64))] = 1
    return grid


@dataclass(frozen=True)
class Boxes:
    """Boxes in many frames.

    Attributes:
        frame: in which one each is, int64, shape (boxes,).
        edges: ymin, xmin, ymax, xmax in pixels, float64, shape (boxes, 4).
        label: number of its class, int64, shape (boxes,).
        confidence: that there is one, float64, shape (boxes,).
    """

    frame: np.ndarray
    edges: np.ndarray
    label: np.ndarray
    confidence: np.ndarray

    def of_class(self, label: int) -> Boxes:
        """Those of a class."""
        its = self.label == label
        return Boxes(self.frame[its], self.edges[its], self.label[its], self.confidence[its])


def of_rows(boxes: np.ndarray) -> Boxes:
    """The boxes of rows, shape (frames, rows, 5), as ``encode`` takes them; they are certain."""
    frame, row = np.nonzero(boxes[..., 4] >= 0)
    found = boxes[frame, row].astype(np.float64)
    return Boxes(frame, found[:, :4], found[:, 4].astype(np.int64), np.ones(len(found)))


def decode(grid: np.ndarray, cell: int, confidence: float) -> Boxes:
    """The boxes of grids, shape (frames, cells, cells, 6 + classes), as ``encode`` makes them.

    Args:
        grid: a network's answers.
        cell: pixels along each side of a cell.
        confidence: that a box must at least have.
    """
    frame, y, x = np.nonzero(grid[..., OBJECT] >= confidence)
    found = grid[frame, y, x].astype(np.float64)
    centre = found[:, :2] + np.column_stack([y, x])
    half = 2 ** found[:, 2:4] / 2
    edges = np.hstack([centre - half, centre + half]) * cell
    return Boxes(frame, edges, found[:, CLASSES].argmax(axis=1), found[:, OBJECT])
