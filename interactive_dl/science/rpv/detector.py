"""A calorimeter of |eta| < 2.5, unrolled to an image."""

from __future__ import annotations

import numpy as np

from interactive_dl.science.rpv.kinematics import shares, to_pt_eta_phi, wrapped

ETA_MAX = 2.5
LOG_SCALE = 5.0
CHARGED = 0.65


def image(rng: np.random.Generator, partons: np.ndarray, size: int) -> np.ndarray:
    """What the calorimeter sees of an event.

    Args:
        rng: random numbers.
        partons: massless four-vectors in GeV, shape (partons, 4).
        size: pixels in eta and in phi.

    Returns:
        log(1 + E_T / GeV) / 5 of each pixel: float32, shape (size, size), (eta, phi).
    """
    eta, phi, energy_gev = _deposits(rng, partons)
    return _log_energy(_pixels(eta, phi, energy_gev, size))


def channels(rng: np.random.Generator, partons: np.ndarray, size: int) -> np.ndarray:
    """What hadronic calorimeter, electromagnetic calorimeter and tracker see of an event.

    A deposit leaves a share of its energy, Beta(1.2, 2), in the electromagnetic calorimeter; 65 %
    of the deposits are of charged particles and have a track.

    Args:
        rng: random numbers.
        partons: massless four-vectors in GeV, shape (partons, 4).
        size: pixels in eta and in phi.

    Returns:
        log(1 + E_T / GeV) / 5 of the two, and a fifth of log(1 + tracks): float32, shape
        (3, size, size), (channel, eta, phi).
    """
    eta, phi, energy_gev = _deposits(rng, partons)
    electromagnetic_gev = energy_gev * rng.beta(1.2, 2.0, len(energy_gev))
    charged = rng.random(len(energy_gev)) < CHARGED
    amounts = (energy_gev - electromagnetic_gev, electromagnetic_gev, charged.astype(np.float64))
    return np.stack([_log_energy(_pixels(eta, phi, amount, size)) for amount in amounts])


def _deposits(
    rng: np.random.Generator, partons: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eta, phi and transverse energy in GeV of all deposits, those of pile-up last."""
    hard, soft = _showers(rng, partons), _pile_up(rng)
    eta, phi, energy_gev = (np.concatenate(pair) for pair in zip(hard, soft, strict=True))
    return eta, phi, energy_gev


def _pixels(eta: np.ndarray, phi: np.ndarray, amount: np.ndarray, size: int) -> np.ndarray:
    """Sums of ``amount`` over each pixel, shape (size, size)."""
    row = np.floor((eta / ETA_MAX + 1) / 2 * size).astype(np.int64)
    column = np.floor((phi / np.pi + 1) / 2 * size).astype(np.int64) % size
    inside = (row >= 0) & (row < size)
    pixels = np.bincount(
        row[inside] * size + column[inside], weights=amount[inside], minlength=size * size
    )
    return pixels.reshape(size, size)


def _log_energy(pixels: np.ndarray) -> np.ndarray:
    return (np.log1p(pixels) / LOG_SCALE).astype(np.float32)


def _showers(
    rng: np.random.Generator, partons: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eta, phi and measured transverse energy in GeV of the partons' showers."""
    pt_gev, eta, phi = to_pt_eta_phi(partons)
    constituents = np.maximum(rng.poisson(0.9 * np.sqrt(pt_gev)), 3)
    of = np.repeat(np.arange(len(partons)), constituents)
    energy_gev = pt_gev[of] * shares(rng, constituents, 0.35)
    radius = rng.exponential(0.12, len(of)) * (200.0 / pt_gev[of]) ** 0.3
    angle = rng.uniform(-np.pi, np.pi, len(of))
    # 80 % / sqrt(E) and 5 %, added in quadrature
    width_gev = np.sqrt(0.64 * energy_gev + (0.05 * energy_gev) ** 2)
    measured_gev = np.maximum(energy_gev + width_gev * rng.standard_normal(len(of)), 0)
    return (
        eta[of] + radius * np.cos(angle),
        wrapped(phi[of] + radius * np.sin(angle)),
        measured_gev,
    )


def _pile_up(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eta, phi and transverse energy in GeV of soft deposits from other collisions.

    Their number varies from event to event; without that the number of lit pixels alone would
    tell signal from background.
    """
    cells = rng.poisson(rng.uniform(54, 540))
    return (
        rng.uniform(-ETA_MAX, ETA_MAX, cells),
        rng.uniform(-np.pi, np.pi, cells),
        rng.exponential(2.5, cells),
    )
