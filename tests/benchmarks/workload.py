"""The work that every contestant does: the RPV network of the decks, 64x64 images, 128 per rank."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

BATCH = 128
STEPS = 48
PASSES = 3
SHAPE = (64, 64, 1)


def images_and_labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One rank's samples: float32 (STEPS * BATCH, 64, 64, 1) and float32 (STEPS * BATCH,)."""
    generator = np.random.default_rng(seed)
    count = STEPS * BATCH
    images = generator.random((count, *SHAPE), dtype=np.float32)
    return images, generator.integers(0, 2, count).astype(np.float32)


def shuffled(seed: int) -> np.ndarray:
    """The order in which a rank takes its samples: int64, shape (STEPS * BATCH,)."""
    return np.random.default_rng(seed).permutation(STEPS * BATCH)


def seconds_per_pass(step: Callable[[int], None]) -> float:
    """Median time of ``PASSES`` passes of ``step(0) .. step(STEPS - 1)``, after one unmeasured."""
    return median([_seconds(step) for _ in range(1 + PASSES)][1:])


def _seconds(step: Callable[[int], None]) -> float:
    begin = time.perf_counter()
    for number in range(STEPS):
        step(number)
    return time.perf_counter() - begin
