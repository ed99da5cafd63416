"""Other views of the same universe: it has no direction of its own, and a periodic box no edge."""

from __future__ import annotations

from itertools import permutations

import numpy as np

SPACE = (1, 2, 3)
_ORDERS = tuple(permutations(SPACE))


class Turned:
    """Turns, mirrors and shifts batches, each sample by itself.

    Args:
        seed: of the choices.
        is_periodic: whether opposite faces touch; only then samples are shifted.
    """

    def __init__(self, seed: int | tuple[int, ...], is_periodic: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._is_periodic = is_periodic

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        """One of the cube's 48 symmetries for each of the samples, shape (n, s, s, s, channels)."""
        return np.concatenate([self._view(sample[np.newaxis]) for sample in x]), y

    def _view(self, sample: np.ndarray) -> np.ndarray:
        order = _ORDERS[self._rng.integers(len(_ORDERS))]
        turned = sample.transpose(0, *order, 4)
        mirrored = tuple(axis for axis in SPACE if self._rng.random() < 0.5)
        turned = np.flip(turned, mirrored)
        if self._is_periodic:
            turned = np.roll(turned, self._rng.integers(sample.shape[1], size=3), SPACE)
        return turned
