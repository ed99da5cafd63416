"""Four-vectors of relativistic particles: float64, shape (particles, 4), (E, px, py, pz) in GeV."""

from __future__ import annotations

import numpy as np


def directions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Isotropic unit vectors, shape (count, 3)."""
    z = rng.uniform(-1, 1, count)
    phi = rng.uniform(-np.pi, np.pi, count)
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(phi), across * np.sin(phi), z], axis=1)


def masses(momenta: np.ndarray) -> np.ndarray:
    """Invariant masses in GeV, shape (particles,)."""
    squared = momenta[:, 0] ** 2 - (momenta[:, 1:] ** 2).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0))


def boost(momenta: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Momenta given in the rest frame of ``frame`` (4,), as seen where ``frame`` moves."""
    mass = masses(frame[np.newaxis])[0]
    gamma, along = frame[0] / mass, frame[1:] / mass
    projected = momenta[:, 1:] @ along
    shift = projected / (1 + gamma) + momenta[:, 0]
    energy = gamma * momenta[:, 0] + projected
    return np.concatenate([energy[:, np.newaxis], momenta[:, 1:] + np.outer(shift, along)], axis=1)


def two_body(
    rng: np.random.Generator, mass_gev: float, first_gev: float, second_gev: float
) -> np.ndarray:
    """Momenta of the two products of an isotropic decay at rest, shape (2, 4)."""
    first_energy = (mass_gev**2 + first_gev**2 - second_gev**2) / (2 * mass_gev)
    momentum = np.sqrt(max(first_energy**2 - first_gev**2, 0.0)) * directions(rng, 1)[0]
    return np.array([[first_energy, *momentum], [mass_gev - first_energy, *-momentum]])


def rambo(rng: np.random.Generator, count: int, mass_gev: float) -> np.ndarray:
    """Momenta of ``count`` massless particles from a decay at rest, flat in phase space.

    RAMBO: Kleiss, Stirling and Ellis, Comput. Phys. Commun. 40 (1986) 359.
    """
    energies = -np.log(rng.uniform(size=count) * rng.uniform(size=count))
    loose = energies[:, np.newaxis] * np.column_stack([np.ones(count), directions(rng, count)])
    total = loose.sum(axis=0)
    at_rest = boost(loose, total * np.array([1, -1, -1, -1]))
    return at_rest * (mass_gev / masses(total[np.newaxis])[0])


def from_pt_eta_phi(pt_gev: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Momenta of massless particles, shape (particles, 4)."""
    return np.stack(
        [pt_gev * np.cosh(eta), pt_gev * np.cos(phi), pt_gev * np.sin(phi), pt_gev * np.sinh(eta)],
        axis=1,
    )


def to_pt_eta_phi(momenta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transverse momentum in GeV, pseudorapidity and azimuth; each of shape (particles,)."""
    pt_gev = np.hypot(momenta[:, 1], momenta[:, 2])
    eta = np.arcsinh(momenta[:, 3] / np.maximum(pt_gev, 1e-9))
    return pt_gev, eta, np.arctan2(momenta[:, 2], momenta[:, 1])


def wrapped(phi: np.ndarray) -> np.ndarray:
    """Azimuths (or their differences) in [-pi, pi)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi


def shares(rng: np.random.Generator, parts: np.ndarray, concentration: float) -> np.ndarray:
    """Dirichlet shares of several wholes at once.

    Args:
        rng: random numbers.
        parts: into how many parts each whole goes, int64, each >= 1.
        concentration: small: one part takes nearly all; large: all parts alike.

    Returns:
        Shape (sum(parts),); those of each whole sum to 1.
    """
    weights = rng.standard_gamma(concentration, parts.sum()) + 1e-12
    starts = np.concatenate([[0], np.cumsum(parts)[:-1]])
    return weights / np.repeat(np.add.reduceat(weights, starts), parts)
