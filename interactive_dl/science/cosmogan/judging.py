"""A generator's maps beside real ones of the same amplitude."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from interactive_dl import data
from interactive_dl.science.cosmogan import maps, sources
from interactive_dl.science.cosmogan.config import Config
from interactive_dl.science.cosmogan.metric import score
from interactive_dl.science.definition import Predictor, predictions

HISTOGRAM_GATE = 0.15
SPECTRUM_GATE = 0.6
VARIETY_GATE = 0.5
"""Five seeds reach 0.06 to 0.09, 0.29 to 0.41 and 0.76 to 0.84. Real maps beside other real ones
have 0.005, 0.008 and 1.00; with their pixels shuffled 0.005, 2.0 and 1.00; Gaussian fields of the
same spectrum 0.34, 0.006 and 1.00; one real map over and over 0.24, 0.35 and 0.
"""
_LATENT_SEED = 20
_BATCH_SIZE = 256


def dream(
    predictor: Predictor, config: Config, amplitude: np.ndarray, seed: int = _LATENT_SEED
) -> np.ndarray:
    """Convergence maps out of a generator.

    Args:
        predictor: a ``CosmoGAN``.
        config: its configuration.
        amplitude: of each map, shape (maps,); says no more than their number where the generator
            is not told.
        seed: of the random numbers that it starts from.

    Returns:
        float64, shape (maps, size, size).
    """
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((len(amplitude), config.latent)).astype(np.float32)
    if config.is_conditional:
        latent = np.column_stack([latent, amplitude]).astype(np.float32)
    pixels = predictions(predictor, data.from_arrays(latent, amplitude), _BATCH_SIZE)
    return maps.decode(pixels[..., 0])


def judge(
    predictor: Predictor, config: Config, folder: Path, split: str = "test"
) -> dict[str, float]:
    """The figures of ``metric.score`` on a split."""
    pixels, amplitude = sources.open(folder, split).arrays()
    return score(maps.decode(pixels[..., 0]), dream(predictor, config, amplitude))


def badness(scores: dict[str, float]) -> float:
    """How far from the gate: at most 1 where neither histogram nor spectrum misses it."""
    return max(scores["histogram"] / HISTOGRAM_GATE, scores["spectrum"] / SPECTRUM_GATE)
