"""fODFs and peaks between scanner axes, used by MRtrix3 and inside shd, and voxel axes, used by DIPY and scilpy.

Voxel axes are the image's own: scanner = M·voxel with M the orthogonal part of the affine (`grid_rotation`), which
contains a reflection where the image is stored left-handed.
"""

import numpy as np
from jaxtyping import Float

from shd.fodf.peaks import Peaks
from shd.sphere.harmonics import degree_of_count
from shd.sphere.rotations import grid_rotation, rotate_harmonics

__all__ = ["peaks_to_scanner_axes", "peaks_to_voxel_axes", "to_scanner_axes", "to_voxel_axes"]


def to_voxel_axes(
    coefficients: Float[np.ndarray, "*grid coeff"], affine: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "*grid coeff"]:
    """Return harmonic coefficients in voxel axes from those in scanner axes (both MRtrix3 basis)."""
    return rotate_harmonics(coefficients, grid_rotation(affine).T, degree_of_count(coefficients.shape[-1]))


def to_scanner_axes(
    coefficients: Float[np.ndarray, "*grid coeff"], affine: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "*grid coeff"]:
    """Return harmonic coefficients in scanner axes from those in voxel axes: undoes `to_voxel_axes`."""
    return rotate_harmonics(coefficients, grid_rotation(affine), degree_of_count(coefficients.shape[-1]))


def peaks_to_voxel_axes(peaks: Peaks, affine: Float[np.ndarray, "4 4"]) -> Peaks:
    """Return peaks in voxel axes from peaks in scanner axes."""
    return Peaks(_turned(peaks.directions, grid_rotation(affine).T), peaks.amplitudes)


def peaks_to_scanner_axes(peaks: Peaks, affine: Float[np.ndarray, "4 4"]) -> Peaks:
    """Return peaks in scanner axes from peaks in voxel axes: undoes `peaks_to_voxel_axes`."""
    return Peaks(_turned(peaks.directions, grid_rotation(affine)), peaks.amplitudes)


def _turned(
    directions: Float[np.ndarray, "*grid peak 3"], rotation: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*grid peak 3"]:
    turned = directions @ rotation.T.astype(directions.dtype)
    return np.where(turned[..., 2:] < 0, -turned, turned)  # an axis is written with z ≥ 0
