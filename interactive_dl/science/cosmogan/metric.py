"""How alike two sets of maps are, by what cosmologists measure in them.

One figure alone is easily fooled: shuffled pixels keep the histogram, a Gaussian field can have any
spectrum, and one good map over and over has both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interactive_dl.science import noise

KAPPA_EDGES = np.concatenate([[-np.inf], np.linspace(-1.2, 4, 53), [np.inf]])
THRESHOLDS = np.linspace(-0.6, 2, 14)


def score(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Compare convergence maps, shape (maps, size, size) each.

    Returns:
        ``histogram``: total variation distance of the pixels' histograms, 0 to 1. ``spectrum``:
        mean over k of |ln(P_generated / P_real)|. ``area``, ``perimeter``, ``euler``: largest
        difference of a Minkowski functional over thresholds, over the real one's largest value.
        ``variety``: how much the generated maps differ among themselves, over how much the real
        ones do; a generator that always gives the same map has 0.
    """
    spectra = power_spectrum(real), power_spectrum(generated)
    functionals = zip(minkowski(real).by_name(), minkowski(generated).by_name(), strict=True)
    return {
        "histogram": float(np.abs(_histogram(real) - _histogram(generated)).sum() / 2),
        "spectrum": float(np.abs(np.log(spectra[1] / spectra[0])).mean()),
        **{name: _distance(one, other) for (name, one), (_, other) in functionals},
        "variety": variety(generated) / variety(real),
    }


def _histogram(maps: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(maps, KAPPA_EDGES)
    return counts / maps.size


def _distance(real: np.ndarray, generated: np.ndarray) -> float:
    return float(np.abs(generated - real).max() / np.abs(real).max())


def variety(maps: np.ndarray) -> float:
    """Mean over pixels of their standard deviation over the maps."""
    return float(maps.std(axis=0).mean())


def power_spectrum(maps: np.ndarray) -> np.ndarray:
    """Mean power of the maps in rings of wave number 1, 2, ... size / 2: shape (size // 2,)."""
    size = maps.shape[-1]
    power = (np.abs(np.fft.rfft2(maps)) ** 2).mean(axis=0) / size**4
    ring = np.rint(noise.wave_numbers(size)).astype(np.int64)
    return np.array([power[ring == number].mean() for number in range(1, size // 2 + 1)])


@dataclass(frozen=True)
class Minkowski:
    """Functionals of where maps exceed each of some thresholds, each of shape (thresholds,).

    Attributes:
        area: share of the pixels above.
        perimeter: sides between a pixel above and one below, per 4 pixels.
        euler: pieces minus holes, per pixel.
    """

    area: np.ndarray
    perimeter: np.ndarray
    euler: np.ndarray

    def by_name(self) -> tuple[tuple[str, np.ndarray], ...]:
        """Each with its name."""
        return ("area", self.area), ("perimeter", self.perimeter), ("euler", self.euler)


def minkowski(maps: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> Minkowski:
    """The three Minkowski functionals of maps, shape (maps, size, size), pixels taken as squares.

    The Euler characteristic is that of the closed squares above: corners - sides + squares, so
    that pixels that touch at a corner are one piece. The border of a map counts as below.
    """
    found = np.array([_functionals(maps > threshold) for threshold in thresholds])
    return Minkowski(*found.T)


def _functionals(above: np.ndarray) -> tuple[float, float, float]:
    framed = np.pad(above, ((0, 0), (1, 1), (1, 1)))
    down, right = framed[:, :-1] | framed[:, 1:], framed[:, :, :-1] | framed[:, :, 1:]
    corners = down[:, :, :-1] | down[:, :, 1:]
    sides = down.sum() + right.sum()
    edges = (framed[:, :-1] ^ framed[:, 1:]).sum() + (framed[:, :, :-1] ^ framed[:, :, 1:]).sum()
    pixels = above.size
    return (
        float(above.sum() / pixels),
        float(edges / (4 * pixels)),
        float((corners.sum() - sides + above.sum()) / pixels),
    )


def shuffled(rng: np.random.Generator, maps: np.ndarray) -> np.ndarray:
    """Control: the pixels of each map in random order; their histogram stays."""
    flat = maps.reshape(len(maps), -1)
    return rng.permuted(flat, axis=1).reshape(maps.shape)


def gaussian(rng: np.random.Generator, maps: np.ndarray) -> np.ndarray:
    """Control: Gaussian fields with the mean and the power of the maps; their spectrum stays."""
    size = maps.shape[-1]
    power = (np.abs(np.fft.rfft2(maps)) ** 2).mean(axis=0) / size**2
    power[0, 0] = 0
    white = np.fft.rfft2(rng.standard_normal(maps.shape))
    return np.fft.irfft2(white * np.sqrt(power), (size, size)) + maps.mean()
