"""Gaussian fields on a square whose opposite sides touch, from the amplitudes of their waves.

Waves are those of ``numpy.fft.rfft2``: arrays of shape (size, size // 2 + 1).
"""

from __future__ import annotations

import numpy as np


def wave_numbers(size: int) -> np.ndarray:
    """How often each wave goes into a side; 0 for the mean."""
    return np.hypot(np.fft.fftfreq(size, 1 / size)[:, np.newaxis], np.arange(size // 2 + 1))


def to_variance_1(amplitudes: np.ndarray) -> np.ndarray:
    """The same amplitudes but for a factor, with which fields have a variance of 1."""
    size = len(amplitudes)
    # the columns that rfft leaves out are mirror images of those between the first and the last
    twice = np.full(size // 2 + 1, 2.0)
    twice[[0, -1]] = 1
    return amplitudes / np.sqrt((amplitudes**2 * twice).sum() / size**2)


def field(rng: np.random.Generator, amplitudes: np.ndarray) -> np.ndarray:
    """White noise of variance 1 whose waves are multiplied by amplitudes, shape (size, size)."""
    shape = (len(amplitudes), len(amplitudes))
    return np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * amplitudes, shape)
