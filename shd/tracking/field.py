"""The fODFs that streamlines follow: those of the mask alone, in voxel axes, on the smallest grid around them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from shd.errors import ScanError
from shd.fodf.field import FodField
from shd.fodf.frames import to_voxel_axes
from shd.sphere.harmonics import degree_of_count

__all__ = ["TrackingField", "tracking_field"]

MARGIN = 2  # voxels around the mask: interpolation between inside and outside stays on the grid
_BLOCK = 1 << 16  # voxels turned at a time
_SHEAR = 1e-3  # cosine between voxel axes that counts as a right angle: files hold rounded affines
AMOUNT = np.sqrt(4.0 * np.pi)
"""From the l = 0 coefficient to the amount of a tissue."""


@dataclass(frozen=True, eq=False)
class TrackingField:
    """fODFs of a mask, without what is around it.

    coefficients: MRtrix3 basis, voxel axes, a row a voxel of the mask, in C order: `volume[mask] = coefficients` puts
    them on the grid, and so the amounts. rows: row of each voxel of the grid, -1 outside the mask. affine: index on
    this (cropped) grid → scanner RAS mm. first: index of its first voxel on the scan's grid. amounts: tissue → amount
    of each voxel of the mask, white matter first (1: as much as the response stands for).
    """

    coefficients: Float32[np.ndarray, "voxel coeff"]
    rows: Int[np.ndarray, "x y z"]
    affine: Float64[np.ndarray, "4 4"]
    first: tuple[int, int, int]
    amounts: dict[str, Float32[np.ndarray, " voxel"]]

    @property
    def degree(self) -> int:
        """Highest degree of the harmonics."""
        return degree_of_count(self.coefficients.shape[-1])

    @cached_property
    def voxel_sizes(self) -> Float64[np.ndarray, " 3"]:
        """Edges of a voxel, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def mask(self) -> Bool[np.ndarray, "x y z"]:
        """The mask on the cropped grid."""
        return self.rows >= 0

    def cropped(self, volume: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "i j k"]:
        """Return a volume of the scan's grid on the cropped grid, false in the margin outside the scan."""
        result = np.zeros(self.rows.shape, dtype=bool)
        start = np.array(self.first)
        low, high = np.maximum(start, 0), np.minimum(start + self.rows.shape, volume.shape)
        inside = tuple(slice(int(a), int(b)) for a, b in zip(low - start, high - start, strict=True))
        result[inside] = volume[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
        return result

    def in_scanner(self, points: Float[np.ndarray, "point 3"]) -> Float32[np.ndarray, "point 3"]:
        """Return points in scanner mm from voxel units of the cropped grid."""
        return (points @ self.affine[:3, :3].T + self.affine[:3, 3]).astype(np.float32)


def tracking_field(fod: FodField) -> TrackingField:
    """Return the fODFs of a mask for tracking, in float32 and no more memory than the mask's voxels take.

    Values that are not finite count as zero. Raises ScanError where the mask is empty, the fODFs have no directions, or
    the grid's axes are not at right angles (DIPY and MRtrix3 step along them).
    """
    if not fod.mask.any():
        raise ScanError(f"0 of {fod.mask.size} voxels hold an fODF: there is nothing to track")
    if fod.degree == 0:
        raise ScanError("1 coefficient a voxel has no direction; give white-matter fODFs")
    _check_right_angles(fod.affine)
    voxels = np.argwhere(fod.mask)
    first = voxels.min(axis=0) - MARGIN
    rows = np.full(voxels.max(axis=0) - first + 1 + MARGIN, -1, dtype=np.int32)
    rows[tuple((voxels - first).T)] = np.arange(len(voxels))
    coefficients = np.empty((len(voxels), fod.wm.shape[-1]), dtype=np.float32)
    for start in range(0, len(voxels), _BLOCK):
        here = tuple(voxels[start : start + _BLOCK].T)
        values = np.nan_to_num(fod.wm[here], posinf=0.0, neginf=0.0)
        coefficients[start : start + _BLOCK] = to_voxel_axes(values, fod.affine)
    affine = np.array(fod.affine, dtype=np.float64)
    affine[:3, 3] += affine[:3, :3] @ first
    inside = tuple(voxels.T)
    amounts = {"wm": AMOUNT * coefficients[:, 0]}
    for tissue, volume in fod.isotropic.items():
        amounts[tissue] = AMOUNT * np.nan_to_num(volume[inside], posinf=0.0, neginf=0.0)
    amounts = {tissue: np.maximum(amount, 0).astype(np.float32) for tissue, amount in amounts.items()}
    i, j, k = (int(index) for index in first)
    return TrackingField(coefficients, rows, affine, (i, j, k), amounts)


def _check_right_angles(affine: Float[np.ndarray, "4 4"]) -> None:
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    greatest = float(np.abs(columns.T @ columns - np.eye(3)).max())
    if greatest > _SHEAR:
        raise ScanError(
            f"the grid's axes are {np.degrees(np.arccos(greatest)):.1f}° apart, but tracking needs 90°; resample the "
            "fODFs' scan to a grid without shear"
        )
