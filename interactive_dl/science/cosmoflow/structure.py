"""Particles moved by gravity from a lattice: Lagrangian perturbation theory in a periodic box.

Instead of the N-body code of the original (MUSIC and pycola) the particles take one step, of
first order (Zel'dovich) or second (2LPT); at scales of some Mpc/h that is close.

Fields are arrays over a cube of n^3 cells; their transforms have shape (n, n, n // 2 + 1).
"""

from __future__ import annotations

from functools import cache, cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from interactive_dl.science.cosmoflow.cosmology import Cosmology

AXES = (0, 1, 2)


class Waves:
    """The wave vectors of a cube in Fourier space.

    Args:
        cells: along each side.
        box: length of a side in Mpc/h.
    """

    def __init__(self, cells: int, box: float) -> None:
        self.cells = cells
        self.box = box
        step = 2 * np.pi / box
        along = step * np.fft.fftfreq(cells, 1 / cells)
        self.components = tuple(
            component.reshape([-1 if axis == other else 1 for other in AXES])
            for axis, component in enumerate(
                (along, along, step * np.fft.rfftfreq(cells, 1 / cells))
            )
        )

    @cached_property
    def squared(self) -> np.ndarray:
        """k^2, and 1 in place of 0 at the origin."""
        x, y, z = self.components
        squared: np.ndarray = x**2 + y**2 + z**2
        squared[0, 0, 0] = 1.0
        return squared

    @cached_property
    def length(self) -> np.ndarray:
        """k; 0 at the origin."""
        length: np.ndarray = np.sqrt(self.squared)
        length[0, 0, 0] = 0.0
        return length

    @cached_property
    def odd(self) -> tuple[np.ndarray, ...]:
        """Components for an odd number of derivatives, which a real field lacks at Nyquist's k."""
        nyquist = np.pi * self.cells / self.box
        return tuple(
            np.where(np.isclose(np.abs(component), nyquist), 0.0, component)
            for component in self.components
        )

    def to_space(self, transformed: np.ndarray) -> np.ndarray:
        """The real field of a transform, shape (n, n, n)."""
        return np.fft.irfftn(transformed, (self.cells,) * 3, AXES)


@cache
def waves(cells: int, box: float) -> Waves:
    """The wave vectors of such a cube, made once."""
    return Waves(cells, box)


class Displacements(NamedTuple):
    """Of particles from their lattice, today: Mpc/h, shape (3, n, n, n).

    Attributes:
        first: of first order; it grows as D.
        second: of second order, but for the factor 3/7 Omega_m^(-1/143) D^2; None if left out.
    """

    first: np.ndarray
    second: np.ndarray | None


def linear_density(rng: np.random.Generator, cosmology: Cosmology, k: Waves) -> np.ndarray:
    """A Gaussian random field of density contrast with the linear spectrum of today, transformed.

    White noise in space, coloured in Fourier space; so its transform is that of a real field.
    """
    white = rng.standard_normal((k.cells,) * 3, dtype=np.float32)
    return np.fft.rfftn(white) * np.sqrt(cosmology.power(k.length) * (k.cells / k.box) ** 3)


def displacements(density: np.ndarray, k: Waves, order: int) -> Displacements:
    """What gravity does to a lattice of particles.

    Args:
        density: linear density contrast of today, transformed.
        k: its wave vectors.
        order: 1 (Zel'dovich) or 2.

    Raises:
        ValueError: another order.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 (Zel'dovich) or 2 (2LPT), but got {order}.")
    second = _downhill(_tidal(density, k), k) if order == 2 else None
    return Displacements(_downhill(density, k), second)


def _downhill(source: np.ndarray, k: Waves) -> np.ndarray:
    """Minus the gradient of the inverse Laplacian of a transformed field, in space."""
    return np.stack([k.to_space(1j * along * source / k.squared) for along in k.odd])


def _tidal(density: np.ndarray, k: Waves) -> np.ndarray:
    """Sum over i < j of phi_ii phi_jj - phi_ij^2, transformed; phi is the inverse Laplacian."""

    def second_derivative(i: int, j: int) -> np.ndarray:
        product = k.components[i] * k.components[j] if i == j else k.odd[i] * k.odd[j]
        return k.to_space(product * density / k.squared)

    diagonal = [second_derivative(axis, axis) for axis in AXES]
    pairs = combinations(AXES, 2)
    terms = (diagonal[i] * diagonal[j] - second_derivative(i, j) ** 2 for i, j in pairs)
    return np.fft.rfftn(sum(terms))


def positions(moved: Displacements, cosmology: Cosmology, z: float, box: float) -> np.ndarray:
    """Where the particles are at redshift ``z``: Mpc/h in [0, box), shape (3, particles)."""
    side = moved.first.shape[1]
    growth = cosmology.growth(z)
    displacement = growth * moved.first
    if moved.second is not None:
        factor = 3 / 7 * cosmology.omega_m_at(z) ** (-1 / 143)
        displacement += factor * growth**2 * moved.second
    lattice = (np.arange(side) + 0.5) * (box / side)
    lattice_points = np.stack(np.meshgrid(lattice, lattice, lattice, indexing="ij"))
    return ((lattice_points + displacement) % box).reshape(3, -1)


def counts(where: np.ndarray, cells: int, box: float) -> np.ndarray:
    """Numbers of particles per cell: int16, as in the original's files, shape (cells,) * 3."""
    index = np.floor(where * (cells / box)).astype(np.int64) % cells
    flat = (index[0] * cells + index[1]) * cells + index[2]
    return np.bincount(flat, minlength=cells**3).reshape((cells,) * 3).astype(np.int16)
