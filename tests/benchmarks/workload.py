"""The work that every contestant does: the RPV network of the decks, 64x64 images, 128 per rank."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

BATCH = 128
STEPS = 24
SHAPE = (64, 64, 1)
TURN = "turn\n"


def images_and_labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One rank's samples: float32 (STEPS * BATCH, 64, 64, 1) and float32 (STEPS * BATCH,)."""
    generator = np.random.default_rng(seed)
    count = STEPS * BATCH
    images = generator.random((count, *SHAPE), dtype=np.float32)
    return images, generator.integers(0, 2, count).astype(np.float32)


def shuffled(seed: int) -> np.ndarray:
    """The order in which a rank takes its samples: int64, shape (STEPS * BATCH,)."""
    return np.random.default_rng(seed).permutation(STEPS * BATCH)


def take_turns(
    step: Callable[[int], None],
    *,
    ranks: int,
    speaks: bool,
    agreed: Callable[[float], float],
) -> None:
    """A script's life: for each ``TURN`` on standard input one pass of ``step(0) ..
    step(STEPS - 1)`` that does not count and one that does, and a line with its samples/s; until
    another line comes.

    Args:
        step: trains on one batch.
        ranks: number of ranks that train together.
        speaks: whether this is the one rank that reads and writes.
        agreed: largest of all ranks' values, on every rank.
    """
    _seconds(step)
    if speaks:
        print("ready", flush=True)
    while agreed(float(speaks and sys.stdin.readline() == TURN)):
        _seconds(step)
        slowest_s = agreed(_seconds(step))
        if speaks:
            print(STEPS * BATCH * ranks / slowest_s, flush=True)


def _seconds(step: Callable[[int], None]) -> float:
    begin = time.perf_counter()
    for number in range(STEPS):
        step(number)
    return time.perf_counter() - begin
