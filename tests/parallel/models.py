"""Small models and data for the parallel tests, and how ranks share them."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

CLASSES = 4
BATCH = 8


def dense() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(CLASSES)]
    )


def convolution(dropout: float = 0.0) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, activation="tanh"),
            keras.layers.Flatten(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(CLASSES),
        ]
    )


def embedding() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(11, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )


MODELS: dict[str, Callable[[], keras.Model]] = {
    "dense": dense,
    "convolution": convolution,
    "embedding": embedding,
}


def samples(name: str, steps: int, ranks: int) -> tuple[np.ndarray, np.ndarray]:
    """The same ``steps * ranks * BATCH`` samples on every rank."""
    generator = np.random.default_rng(7)
    count = steps * ranks * BATCH
    shape = {"dense": (6,), "convolution": (6, 6, 1), "embedding": (5,)}[name]
    x = (
        generator.integers(0, 11, (count, *shape)).astype("int32")
        if name == "embedding"
        else generator.normal(size=(count, *shape)).astype("float32")
    )
    return x, generator.integers(0, CLASSES, count)


def my_part(array: np.ndarray, rank: int, ranks: int) -> np.ndarray:
    """Samples of this rank: of each global batch of ``ranks * BATCH``, the rank's BATCH."""
    return array.reshape(-1, ranks, BATCH, *array.shape[1:])[:, rank].reshape(-1, *array.shape[1:])


def loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(value) for value in model.get_weights()]


def distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Largest difference between two models' weights."""
    return max(float(np.max(np.abs(a - b))) for a, b in zip(one, other, strict=True))
