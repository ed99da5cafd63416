"""Handwritten digits of 8x8 pixels, 1797 of them: real data that comes with scikit-learn.

An epoch takes a fraction of a second, so this is the case for trying things out. Always guessing
the commonest digit is right in 10 % of the cases, logistic regression in 97 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interactive_dl import data

if TYPE_CHECKING:
    import keras

ACCURACY_GATE = 0.97
VALIDATION = 360
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Digits:
    """The fixed split; x: float32 in 0..1, shape (n, 8, 8, 1); y: int64 in 0..9, shape (n,)."""

    train: data.Dataset
    val: data.Dataset


def load() -> Digits:
    """1437 digits for training and 360 for validation, always the same ones."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(bunch.target))
    x, y = (bunch.images / 16.0).astype(np.float32)[order], bunch.target[order]
    return Digits(
        train=data.from_arrays(x[VALIDATION:], y[VALIDATION:]),
        val=data.from_arrays(x[:VALIDATION], y[:VALIDATION]),
    )


def build_model(filters: int = 32, dense: int = 64, dropout: float = 0.2) -> keras.Model:
    """A small convolutional classifier, not compiled; its loss is sparse categorical.

    With Adam at 2e-3 and batches of 32 it is right on 98 % of the validation digits and more after
    10 epochs.

    Returns:
        Images, float32, shape (batch, 8, 8, 1), to probabilities of the digits, (batch, 10).
    """
    import keras

    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(2 * filters, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(dense, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )
