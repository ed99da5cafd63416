"""Intersection over union (IoU), in the two definitions that the published figures have.

They must not be compared: where a sample lacks a class and none is predicted, the first gives a
whole point, which lifts the benchmark's figures above those of the paper.
"""

from __future__ import annotations

import numpy as np

from interactive_dl.science.climate_masks.frames import CLASSES


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int = len(CLASSES)) -> np.ndarray:
    """How many pixels of each class are taken for which, in each sample.

    Args:
        truth, predicted: classes, integers, shape (samples, height, width).
        classes: how many there are.

    Returns:
        int64, shape (samples, classes, classes): true class, predicted class.
    """
    samples = len(truth)
    pairs = truth.reshape(samples, -1).astype(np.int64) * classes + predicted.reshape(samples, -1)
    return np.stack([np.bincount(one, minlength=classes**2) for one in pairs]).reshape(
        samples, classes, classes
    )


def _intersection_and_union(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each class, shape (..., classes) each, from confusions (..., classes, classes)."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return hits, counts.sum(axis=-1) + counts.sum(axis=-2) - hits


def iou_of_samples(counts: np.ndarray) -> float:
    """MLPerf DeepCAM's: of each class in each sample, then the mean of all.

    A class that neither the sample nor its prediction has counts as 1.

    Args:
        counts: from ``confusion``.
    """
    hits, union = _intersection_and_union(counts)
    return float(np.where(union == 0, 1.0, hits / np.maximum(union, 1)).mean())


def iou_of_classes(counts: np.ndarray) -> np.ndarray:
    """The paper's, of each class over the pixels of all samples; NaN: it is nowhere.

    Args:
        counts: from ``confusion``.

    Returns:
        Shape (classes,). The mean over the classes that occur is TensorFlow's ``mean_iou``.
    """
    hits, union = _intersection_and_union(counts.sum(axis=0))
    return np.where(union == 0, np.nan, hits / np.maximum(union, 1))


def score(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Both means, the parts of the second, and the share of pixels that are right.

    Args:
        truth, predicted: classes, integers, shape (samples, height, width).
    """
    counts = confusion(truth, predicted)
    by_class = iou_of_classes(counts)
    return {
        "iou_of_samples": iou_of_samples(counts),
        "iou": float(np.nanmean(by_class)),
        **{f"iou_{name}": float(one) for name, one in zip(CLASSES, by_class, strict=True)},
        "accuracy": float(np.mean(truth == predicted)),
    }
