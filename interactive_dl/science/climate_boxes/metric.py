"""How well boxes are found: average precision, as ``hur-detect`` reports it."""

from __future__ import annotations

import numpy as np

from interactive_dl.science.climate_boxes.grid import Boxes


def mean_average_precision(truth: Boxes, found: Boxes, overlap: float) -> float:
    """The mean of ``average_precision`` over the classes that are in the truth."""
    labels = np.unique(truth.label)
    each = [
        average_precision(truth.of_class(label), found.of_class(label), overlap) for label in labels
    ]
    return float(np.mean(each)) if each else 0.0


def average_precision(truth: Boxes, found: Boxes, overlap: float) -> float:
    """Area under the curve of precision over recall, boxes taken from the most confident on.

    Args:
        truth: of one class, as those that are found.
        found: at most one of them counts as right for each that is true.
        overlap: intersection over union at which it does.

    Returns:
        The sum over the right ones of (share of right ones up to there) / (number of true ones).
    """
    from sklearn.metrics import average_precision_score

    is_right = matched(truth, found, overlap)
    if not is_right.any():
        return 0.0
    recall = is_right.sum() / len(truth.frame)
    return float(recall * average_precision_score(is_right, found.confidence))


def matched(truth: Boxes, found: Boxes, overlap: float) -> np.ndarray:
    """Which of those found are right, bool, shape (found,).

    From the most confident on, each takes the true box of its frame that it overlaps most with, if
    by enough; those that are taken are out of the game.
    """
    is_right = np.zeros(len(found.frame), bool)
    is_free = np.ones(len(truth.frame), bool)
    for number in np.argsort(-found.confidence, kind="stable"):
        (near,) = np.nonzero(is_free & (truth.frame == found.frame[number]))
        if not len(near):
            continue
        overlaps = intersection_over_union(found.edges[number], truth.edges[near])
        best = overlaps.argmax()
        if overlaps[best] >= overlap:
            is_right[number], is_free[near[best]] = True, False
    return is_right


def intersection_over_union(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of a box, shape (4,), with others, (n, 4): shape (n,)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / (areas - shared)
