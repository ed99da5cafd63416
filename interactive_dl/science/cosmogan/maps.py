"""Maps of weak lensing's convergence: shifted log-normal fields, from a seed per map.

The original's come from N-body simulations. A log-normal field has what matters here: a skewed
histogram and a spectrum that neither gives away (Clerkin et al., arXiv:1605.02036, find lensing
maps close to it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from interactive_dl.science import noise
from interactive_dl.science.cosmogan.config import Config
from interactive_dl.science.splits import SPLIT_START

TILT = -1.1
"""Of the field's amplitude in k: its power falls as k^-2.2."""


@dataclass(frozen=True)
class Maps:
    """Generated maps.

    Attributes:
        kappa: convergence, float64, shape (maps, size, size).
        amplitude: standard deviation of the logarithm of 1 + kappa, shape (maps,).
    """

    kappa: np.ndarray
    amplitude: np.ndarray

    def __len__(self) -> int:
        return len(self.kappa)


def generate(config: Config, count: int, *, seed: int = 0, start: int = 0) -> Maps:
    """Generate maps, each with one of the configuration's amplitudes.

    Map ``i`` depends on ``seed`` and ``start + i`` alone, so that every rank can generate its own
    share, and a longer sample begins with the maps of a shorter one.

    Args:
        config: size, spectrum and amplitudes.
        count: number of maps.
        seed: of all maps together.
        start: number of the first map.
    """
    kappa = np.empty((count, config.size, config.size))
    amplitude = np.empty(count)
    for index in range(count):
        rng = np.random.default_rng((seed, start + index))
        amplitude[index] = rng.choice(config.amplitudes)
        kappa[index] = log_normal(rng, config.size, config.cutoff, amplitude[index])
    return Maps(kappa, amplitude)


def log_normal(rng: np.random.Generator, size: int, cutoff: float, amplitude: float) -> np.ndarray:
    """kappa = exp(g - amplitude^2 / 2) - 1, whose mean is 0, shape (size, size).

    g is a Gaussian field of standard deviation ``amplitude`` with the power spectrum
    k^-2.2 exp(-(k / cutoff)^2), k in waves per map.
    """
    field = amplitude * noise.field(rng, _amplitudes(size, cutoff))
    return np.exp(field - amplitude**2 / 2) - 1


@cache
def _amplitudes(size: int, cutoff: float) -> np.ndarray:
    """Of the waves of such a field of variance 1."""
    k = noise.wave_numbers(size)
    k[0, 0] = np.inf
    return noise.to_variance_1(k**TILT * np.exp(-((k / cutoff) ** 2) / 2))


def encode(kappa: np.ndarray) -> np.ndarray:
    """Into the range of tanh, as the original's files: tanh(kappa / 2)."""
    return np.tanh(kappa / 2)


def decode(pixels: np.ndarray) -> np.ndarray:
    """The inverse of ``encode``."""
    nearly_one = 1 - 1e-6
    return 2 * np.arctanh(np.clip(np.asarray(pixels, np.float64), -nearly_one, nearly_one))


def write_splits(config: Config, folder: Path, seed: int = 0) -> Path:
    """Write ``train.npy``, ``val.npy``, ``test.npy``, and amplitudes where there are several.

    Maps are float32 in the range of tanh, shape (maps, size, size), as the original's file;
    amplitudes lie beside them in ``<split>_amplitude.npy``.

    Returns:
        The folder, for ``open(folder, "train")``.
    """
    for split, start in SPLIT_START.items():
        own = replace(config, amplitudes=config.amplitudes_of(split), held_out=())
        maps = generate(own, getattr(config, split), seed=seed, start=start)
        np.save(folder / f"{split}.npy", encode(maps.kappa).astype(np.float32))
        if config.is_conditional:
            np.save(folder / f"{split}_amplitude.npy", maps.amplitude.astype(np.float32))
    return folder
