"""A flat universe of cold dark matter and a cosmological constant: spectrum and growth.

Wave numbers are in h/Mpc, lengths in Mpc/h, power in (Mpc/h)^3, all comoving.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

CMB_TEMPERATURE_K = 2.725
SIGMA_8_RADIUS = 8.0
_WAVE_NUMBERS = np.geomspace(1e-5, 1e3, 2000)
_SCALE_FACTORS = np.linspace(1e-4, 1, 1000)


@dataclass(frozen=True)
class Cosmology:
    """Parameters of a universe.

    Attributes:
        omega_m: density of matter today over the critical one.
        sigma_8: standard deviation today of the linear density contrast in spheres of 8 Mpc/h.
        n_s: tilt of the primordial spectrum of scalar perturbations, P ~ k^n_s. (The "at scale"
            deck calls it an index of the curvature of space, which it is not.)
        h: Hubble's constant today over 100 km/s/Mpc.
        omega_b: density of baryons today over the critical one.
    """

    omega_m: float = 0.3
    sigma_8: float = 0.82
    n_s: float = 0.96
    h: float = 0.7
    omega_b: float = 0.045

    def power(self, k: np.ndarray) -> np.ndarray:
        """Linear power spectrum of the density contrast today, shape of ``k``; 0 at k = 0."""
        nonzero = np.where(k > 0, k, 1.0)
        return np.where(k > 0, self._amplitude * self._shape(nonzero), 0.0)

    def transfer(self, k: np.ndarray) -> np.ndarray:
        """Transfer function without the baryons' oscillations, shape of ``k``, which is > 0.

        Eisenstein and Hu, Astrophys. J. 496 (1998) 605, equations 26 and 28 to 31.
        """
        matter, baryons = self.omega_m * self.h**2, self.omega_b * self.h**2
        fraction = self.omega_b / self.omega_m
        sound_horizon_mpc = 44.5 * np.log(9.83 / matter) / np.sqrt(1 + 10 * baryons**0.75)
        alpha = (
            1 - 0.328 * np.log(431 * matter) * fraction + 0.38 * np.log(22.3 * matter) * fraction**2
        )
        damping = 1 / (1 + (0.43 * k * self.h * sound_horizon_mpc) ** 4)
        gamma = self.omega_m * self.h * (alpha + (1 - alpha) * damping)
        q = k * (CMB_TEMPERATURE_K / 2.7) ** 2 / gamma
        logarithm = np.log(2 * np.e + 1.8 * q)
        return logarithm / (logarithm + (14.2 + 731 / (1 + 62.5 * q)) * q**2)

    def growth(self, z: float) -> float:
        """Growth of linear perturbations until redshift ``z``; 1 today."""
        return self._growing(1 / (1 + z)) / self._growing(1.0)

    def omega_m_at(self, z: float) -> float:
        """Density of matter over the critical one at redshift ``z``."""
        matter = self.omega_m * (1 + z) ** 3
        return matter / (matter + 1 - self.omega_m)

    def variance(self, radius: float) -> float:
        """Of the linear density contrast today in spheres of ``radius``."""
        return self._amplitude * self._shape_variance(radius)

    @cached_property
    def _amplitude(self) -> float:
        return self.sigma_8**2 / self._shape_variance(SIGMA_8_RADIUS)

    def _shape(self, k: np.ndarray) -> np.ndarray:
        return k**self.n_s * self.transfer(k) ** 2

    def _shape_variance(self, radius: float) -> float:
        k = _WAVE_NUMBERS
        x = k * radius
        window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
        integrand = k**3 * self._shape(k) / (2 * np.pi**2) * window**2
        return float(np.trapezoid(integrand, np.log(k)))

    def _growing(self, scale_factor: float) -> float:
        """The growing mode, not normalised: H(a) times the integral of da / (a H)^3."""

        def expansion(a: np.ndarray) -> np.ndarray:
            return np.sqrt(self.omega_m / a**3 + 1 - self.omega_m)

        a = _SCALE_FACTORS * scale_factor
        integral = np.trapezoid((a * expansion(a)) ** -3, a)
        return float(expansion(np.array(scale_factor)) * integral)
