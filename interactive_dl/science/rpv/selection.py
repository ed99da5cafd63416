"""The physicists' way: count heavy jets. What a network has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interactive_dl.science.rpv.kinematics import masses, to_pt_eta_phi, wrapped

CONE = 1.0


@dataclass(frozen=True)
class Jets:
    """Jets of an event, hardest first: float64, each of shape (jets,)."""

    pt_gev: np.ndarray
    eta: np.ndarray
    mass_gev: np.ndarray


def find_jets(rng: np.random.Generator, partons: np.ndarray) -> Jets:
    """Cone jets of R = 1.0: the hardest parton left takes all around it, and so on.

    Their masses are smeared by 12 % of their transverse momenta. Only jets of more than 200 GeV
    within |eta| < 2 count.
    """
    jets = np.array(_cones(partons))
    pt_gev, eta, _ = to_pt_eta_phi(jets)
    mass_gev = np.maximum(masses(jets) + 0.12 * pt_gev * rng.standard_normal(len(jets)), 0)
    counted = (pt_gev > 200) & (np.abs(eta) < 2)
    order = np.flatnonzero(counted)[np.argsort(-pt_gev[counted])]
    return Jets(pt_gev[order], eta[order], mass_gev[order])


def _cones(partons: np.ndarray) -> list[np.ndarray]:
    pt_gev, eta, phi = to_pt_eta_phi(partons)
    left = np.argsort(-pt_gev)
    jets = []
    while len(left):
        hardest = left[0]
        distance = np.hypot(eta[left] - eta[hardest], wrapped(phi[left] - phi[hardest]))
        jets.append(partons[left[distance < CONE]].sum(axis=0))
        left = left[distance >= CONE]
    return jets


def passes(jets: Jets) -> bool:
    """The cuts of arXiv:1711.03573: many jets, heavy and close together in eta."""
    count = len(jets.pt_gev)
    if count < 4 or jets.pt_gev[0] <= 440 or abs(jets.eta[0] - jets.eta[1]) >= 1.4:
        return False
    return bool(jets.mass_gev[:4].sum() > (800 if count == 4 else 600))
