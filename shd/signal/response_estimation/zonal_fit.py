"""The response of chosen voxels, each with its fibre direction: zonal harmonics fitted to all of them together."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls
from scipy.special import eval_legendre

from shd.signal.gradients import Gradients
from shd.signal.response import Response

__all__ = ["RESPONSE_DEGREE", "fit_response", "fit_zonal", "zonal_harmonics"]

RESPONSE_DEGREE = 8


def zonal_harmonics(cos_polar: Float[np.ndarray, "*grid"], degree: int) -> Float[np.ndarray, "*grid even_degree"]:
    """Return Y_l0 = √((2l+1)/4π)·P_l at the cosine of the polar angle, for l = 0, 2, … `degree`."""
    l = np.arange(0, degree + 1, 2)
    return np.sqrt((2 * l + 1) / (4 * np.pi)) * eval_legendre(l, np.asarray(cos_polar)[..., None])


def _zonal_slopes(polar: Float[np.ndarray, " angle"], degree: int) -> Float[np.ndarray, "angle even_degree"]:
    """Return dY_l0/d(polar angle), by (1 − x²)·P_l' = l·(P_{l−1} − x·P_l) with x the cosine; zero at the pole."""
    l = np.arange(0, degree + 1, 2)
    cosine, sine = np.cos(polar)[:, None], np.sin(polar)[:, None]
    rise = l * (eval_legendre(np.maximum(l - 1, 0), cosine) - cosine * eval_legendre(l, cosine))
    slope = -np.divide(rise, sine, out=np.zeros_like(rise), where=sine > 0)
    return np.sqrt((2 * l + 1) / (4 * np.pi)) * slope


def fit_zonal(
    amplitudes: Float[np.ndarray, " sample"], cos_polar: Float[np.ndarray, " sample"], degree: int
) -> Float[np.ndarray, " even_degree"]:
    """Return the zonal coefficients closest to the samples whose signal is nowhere negative and never falls off-axis.

    Least squares over all samples, subject to signal ≥ 0 and d(signal)/d(polar angle) ≥ 0 at each degree from 0 to 90.
    With the Cholesky factor RᵀR = AᵀA and c = R⁻ᵀAᵀs, its dual is the non-negative least squares problem
    min |R⁻ᵀGᵀλ + c|², λ ≥ 0, and the answer R⁻¹(c + R⁻ᵀGᵀλ) (Lawson and Hanson, Solving Least Squares Problems, 1974,
    chapter 23). Source: Smith, Dhollander and Connelly, ISMRM workshop Breaking the Barriers of Diffusion MRI (2016).
    """
    basis = zonal_harmonics(cos_polar, degree)
    if degree == 0:
        return np.array([amplitudes.mean() * np.sqrt(4 * np.pi)])
    upper = np.linalg.cholesky(basis.T @ basis).T
    projected = np.linalg.solve(upper.T, basis.T @ amplitudes)
    polar = np.radians(np.arange(91.0))
    conditions = np.concatenate([zonal_harmonics(np.cos(polar), degree), _zonal_slopes(polar, degree)])
    dual = np.linalg.solve(upper.T, conditions.T)
    # Scaled: nnls stops at an absolute tolerance, and intensities have any unit.
    scale = np.linalg.norm(projected) or 1.0
    multipliers, _ = nnls(dual, -projected / scale)
    return np.linalg.solve(upper, projected + scale * dual @ multipliers)


def fit_response(
    tissue: str,
    signal: Float[np.ndarray, "voxel volume"],
    gradients: Gradients,
    directions: Float[np.ndarray, "voxel 3"] | None = None,
    degree: int = RESPONSE_DEGREE,
) -> Response:
    """Return the response of the voxels: isotropic, or turned to their fibre `directions` (scanner axes).

    b=0 has only the l=0 coefficient. The other shells have the same degree, whatever their number of directions: every
    voxel samples other polar angles, so that five unknowns stand against voxels × directions samples.
    """
    degree = 0 if directions is None else degree
    coefficients = np.zeros((len(gradients.shells), degree // 2 + 1))
    for row, shell in enumerate(gradients.shells):
        amplitudes = np.asarray(signal[:, shell.volumes], dtype=np.float64)
        if directions is None or row == 0:
            coefficients[row, 0] = amplitudes.mean() * np.sqrt(4 * np.pi)
            continue
        cos_polar = np.clip(directions @ gradients.directions[shell.volumes].T, -1.0, 1.0)
        coefficients[row] = fit_zonal(amplitudes.ravel(), cos_polar.ravel(), degree)
    return Response(tissue, np.array([shell.bvalue for shell in gradients.shells], dtype=float), coefficients)
