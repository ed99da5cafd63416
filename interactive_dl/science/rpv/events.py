"""Partons of single events: what a proton collision sends into the detector.

Partons are massless four-vectors, shape (partons, 4), in GeV.
"""

from __future__ import annotations

import numpy as np

from interactive_dl.science.rpv.kinematics import (
    boost,
    from_pt_eta_phi,
    rambo,
    shares,
    two_body,
    wrapped,
)

GLUINO_GEV = 1400.0
NEUTRALINO_GEV = 850.0
SIGNAL_FB = 14.36
BACKGROUND_FB = 117.3
"""Cross-sections: gluino pairs 1400/850, and QCD jets of 1.8 to 2.5 TeV, as hard as these."""


def signal(rng: np.random.Generator) -> np.ndarray:
    """Two gluinos, each to two quarks and a neutralino that decays to three: 10 partons."""
    pt_gev = rng.exponential(300.0)
    phi = rng.uniform(-np.pi, np.pi)
    partons = []
    for azimuth in (phi, phi + np.pi):
        rapidity = rng.normal(0, 0.7)
        across = np.hypot(GLUINO_GEV, pt_gev)
        gluino = np.array(
            [
                across * np.cosh(rapidity),
                pt_gev * np.cos(azimuth),
                pt_gev * np.sin(azimuth),
                across * np.sinh(rapidity),
            ]
        )
        partons.append(boost(_gluino_decay(rng), gluino))
    return np.concatenate(partons)


def _gluino_decay(rng: np.random.Generator) -> np.ndarray:
    pair_gev = np.sqrt(rng.uniform(1e-4, 1)) * (GLUINO_GEV - NEUTRALINO_GEV)
    pair, neutralino = two_body(rng, GLUINO_GEV, pair_gev, NEUTRALINO_GEV)
    return np.concatenate(
        [boost(rambo(rng, 2, pair_gev), pair), boost(rambo(rng, 3, NEUTRALINO_GEV), neutralino)]
    )


def background(rng: np.random.Generator) -> np.ndarray:
    """QCD jets as hard as the signal and almost as many: each splits into 1 to 3 partons."""
    jets = 5 + rng.poisson(2)
    pt_gev = rng.lognormal(np.log(2300.0), 0.22) * rng.dirichlet(np.full(jets, 2.0))
    phi = _balanced(rng, pt_gev)
    eta = rng.normal(0, 0.4) + rng.normal(0, 0.9, jets)
    prongs = rng.integers(1, 4, jets)
    jet = np.repeat(np.arange(jets), prongs)
    spread = np.where(prongs > 1, 0.25, 0.0)[jet]
    return from_pt_eta_phi(
        pt_gev[jet] * shares(rng, prongs, 1.5),
        eta[jet] + rng.normal(0, 1, len(jet)) * spread,
        wrapped(phi[jet] + rng.normal(0, 1, len(jet)) * spread),
    )


def _balanced(rng: np.random.Generator, pt_gev: np.ndarray) -> np.ndarray:
    """Azimuths with which the jets' transverse momenta nearly cancel, shape (jets,)."""
    phi = rng.uniform(-np.pi, np.pi, len(pt_gev))
    vectors = pt_gev * np.exp(1j * phi)
    for jet in np.argsort(-pt_gev):
        others = vectors.sum() - vectors[jet]
        if abs(others) > pt_gev[jet] / 2:
            vectors[jet] = -pt_gev[jet] * others / abs(others)
    return np.angle(vectors)
