"""Numbers of each voxel's fODF and tissues, from harmonic coefficients. Amplitudes are in the units of the fODF."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32

from shd.errors import ScanError
from shd.fodf.lobes import Fixels
from shd.fodf.peaks import Peaks
from shd.sphere.directions import axial_angle
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = [
    "direction_encoded_colours", "fixels_at_peaks", "generalised_anisotropy", "tissue_fractions", "total_density",
]  # fmt: skip

SAME_AXIS = 1.0  # degrees between a peak and the peak of its lobe; both climb to within 1e-4


def total_density(coefficients: Float[np.ndarray, "voxel coeff"]) -> Float32[np.ndarray, " voxel"]:
    """Return the integral of the fODF over the sphere, √4π·c₀₀: total apparent fibre density.

    1 in a voxel filled by one fibre population of the response's kind. Source: Raffelt et al., NeuroImage 59 (2012);
    Calamante et al., NeuroImage 112 (2015).
    """
    return (np.sqrt(4 * np.pi) * coefficients[:, 0]).astype(np.float32)


def generalised_anisotropy(coefficients: Float[np.ndarray, "voxel coeff"]) -> Float32[np.ndarray, " voxel"]:
    """Return the standard deviation of the fODF over its root mean square, √(1 − c₀₀² / Σ c²): 0 for a sphere, below 1.

    Source: the generalised fractional anisotropy of Tuch, Magn. Reson. Med. 52 (2004), for infinitely many directions
    (Parseval's theorem). 0 where the fODF is zero.
    """
    power = np.einsum("vc,vc->v", coefficients, coefficients, dtype=np.float64)
    round_share = np.divide(coefficients[:, 0].astype(np.float64) ** 2, power, out=np.ones(len(power)), where=power > 0)
    return np.sqrt(np.maximum(1.0 - round_share, 0.0)).astype(np.float32)


def direction_encoded_colours(coefficients: Float[np.ndarray, "voxel coeff"]) -> Float32[np.ndarray, "voxel 3"]:
    """Return red, green and blue: the mean of |x|, |y|, |z| over the fODF as a unit vector, times the fODF's integral.

    x, y, z: axes of the coefficients; in scanner axes red is left-right, green front-back, blue up-down. 0 where the
    integral is not positive. Source: Dhollander et al., ISMRM 2015, 1027, as in MRtrix3's `fod2dec`.
    """
    means = np.maximum(coefficients @ _absolute_axes(degree_of_count(coefficients.shape[1])), 0.0)
    length = np.linalg.norm(means, axis=1, keepdims=True)
    density = np.maximum(total_density(coefficients), 0.0)[:, None]
    return np.divide(means * density, length, out=np.zeros_like(means), where=length > 0).astype(np.float32)


@lru_cache(maxsize=4)
def _absolute_axes(degree: int) -> Float[np.ndarray, "coeff axis"]:
    """Return ∫ Y |x|, ∫ Y |y| and ∫ Y |z| of every harmonic over the sphere.

    By Gauss-Legendre rules in both angles, over the octants, in which the integrands are smooth: to 1e-12.
    """
    nodes, weights = np.polynomial.legendre.leggauss(degree + 20)
    quarter, quarter_weights = 0.25 * np.pi * (nodes + 1.0), 0.25 * np.pi * weights
    polar = np.concatenate([quarter, quarter + 0.5 * np.pi])
    azimuth = np.concatenate([quarter + 0.5 * np.pi * k for k in range(4)])
    polar, azimuth = (grid.ravel() for grid in np.meshgrid(polar, azimuth, indexing="ij"))
    points = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    solid = np.outer(np.tile(quarter_weights, 2), np.tile(quarter_weights, 4)).ravel() * np.sin(polar)
    return even_harmonics(points, degree).T @ (solid[:, None] * np.abs(points))


def tissue_fractions(
    amounts: Mapping[str, Float[np.ndarray, " voxel"]],
) -> tuple[dict[str, Float32[np.ndarray, " voxel"]], Float32[np.ndarray, " voxel"]]:
    """Return each tissue's share of the sum of all, and that sum times √4π: 1 in a voxel full of tissue.

    amounts: tissue → its l=0 coefficient; negative and non-finite ones count as none. The shares sum to one, and are 0
    where there is no tissue. Raises ScanError where no voxel has a positive sum.
    """
    positive = {tissue: np.maximum(np.nan_to_num(values, posinf=0.0), 0.0) for tissue, values in amounts.items()}
    total = sum(positive.values(), np.zeros(len(next(iter(positive.values()))), np.float64))
    if not (total > 0).any():
        raise ScanError(
            f"0 of {len(total)} voxels in the mask hold any tissue (their l=0 coefficients are zero or negative); is "
            "this an fODF image, and the mask of this scan?"
        )
    shares = {
        tissue: np.divide(values, total, out=np.zeros_like(total), where=total > 0).astype(np.float32)
        for tissue, values in positive.items()
    }
    return shares, (np.sqrt(4 * np.pi) * total).astype(np.float32)


def fixels_at_peaks(
    fixels: Fixels, peaks: Peaks
) -> tuple[Float32[np.ndarray, "voxel peak"], Float32[np.ndarray, "voxel peak"]]:
    """Return apparent fibre density and dispersion of the lobe below each peak, zero where there is none.

    fixels: of the same voxels as `peaks`, with the lobes of all of them. A lobe belongs to the peak that it ends in.
    """
    most = int(fixels.numbers.max(initial=0))
    tops = fixels.table(fixels.peak_directions, most)
    density, dispersion = fixels.table(fixels.afd, most), fixels.table(fixels.dispersion, most)
    found = np.zeros((2, *peaks.amplitudes.shape), np.float32)
    if most == 0:
        return found[0], found[1]
    for peak in range(peaks.amplitudes.shape[1]):
        axes = np.broadcast_to(peaks.directions[:, None, peak], tops.shape)
        angles = np.where(density > 0, axial_angle(axes, tops), 90.0)
        lobe = angles.argmin(axis=1)[:, None]
        own = (np.take_along_axis(angles, lobe, 1)[:, 0] < SAME_AXIS) & (peaks.amplitudes[:, peak] > 0)
        for each, values in zip(found, (density, dispersion), strict=True):
            each[own, peak] = np.take_along_axis(values, lobe, 1)[own, 0]
    return found[0], found[1]
