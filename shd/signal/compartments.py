"""Analytic signals of the simplest diffusion compartments, and their zonal harmonics.

Names as in Panagiotaki et al., NeuroImage 59 (2012), table 1: a stick diffuses along one axis alone, a zeppelin along
an axis and less across it, a ball equally in all directions. Signals are relative to b=0 (1 at b = 0).
b-values are in s/mm², diffusivities in mm²/s; `cosines` are of the angle between gradient and fibre, of either sign.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import eval_legendre

__all__ = ["ball", "stick", "zeppelin", "zonal_coefficients"]

# Gauss-Legendre nodes: integrates the sharpest profile in use (b·d = 20) times degree 20 to rounding.
_NODES = 128


def stick(
    bvalues: Float[np.ndarray, "*#grid"], cosines: Float[np.ndarray, "*#grid"], diffusivity: float
) -> Float[np.ndarray, "*grid"]:
    """Return exp(−b·d·cos²), the signal of water that moves only along the fibre."""
    return np.exp(-bvalues * diffusivity * cosines**2)


def zeppelin(
    bvalues: Float[np.ndarray, "*#grid"],
    cosines: Float[np.ndarray, "*#grid"],
    parallel: float,
    perpendicular: float,
) -> Float[np.ndarray, "*grid"]:
    """Return exp(−b·(d⊥ + (d∥ − d⊥)·cos²)), the signal of an axially symmetric Gaussian compartment."""
    return np.exp(-bvalues * (perpendicular + (parallel - perpendicular) * cosines**2))


def ball(bvalues: Float[np.ndarray, "*grid"], diffusivity: float) -> Float[np.ndarray, "*grid"]:
    """Return exp(−b·d), the signal of free diffusion."""
    return np.exp(-bvalues * diffusivity)


def zonal_coefficients(
    profile: Callable[[Float[np.ndarray, " node"]], Float[np.ndarray, " node"]], degree: int
) -> Float[np.ndarray, " even_degree"]:
    """Return r_l, for l = 0, 2, … up to `degree`, of an even function of the angle from the +z axis.

    r_l = 2π·√((2l+1)/4π)·∫ S(t) P_l(t) dt over t = cos(polar) from −1 to 1, so that S = Σ r_l Y_l0; the normalisation
    of MRtrix3's response files (a constant S has r_0 = S·√4π).

    profile: cosines → signal, even in the cosine. degree: even, 0 or more.
    """
    if degree < 0 or degree % 2:
        raise ValueError(f"degree {degree}: even harmonics need an even degree of 0 or more")
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    degrees = np.arange(0, degree + 1, 2)
    legendre = eval_legendre(degrees[:, None], nodes[None, :])
    return np.sqrt((2 * degrees + 1) * np.pi) * (legendre @ (weights * profile(nodes)))
