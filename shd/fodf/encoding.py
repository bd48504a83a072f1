"""How harmonic coefficients are told: their basis and their axes; and the exact way from one telling to another."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd.sphere.bases import BASES, basis_change
from shd.sphere.harmonics import coefficient_count
from shd.sphere.rotations import grid_rotation, harmonic_rotation

__all__ = ["AXES", "OURS", "Axes", "Encoding", "conversion_matrix", "converted_volumes"]

Axes = Literal["scanner", "voxel"]
AXES: tuple[Axes, ...] = ("scanner", "voxel")
_NOTHING = 1e-12  # entries of a rotation below this are rounding; leaving them out makes a reorder exact


@dataclass(frozen=True)
class Encoding:
    """basis: one of `BASES`. axes: scanner (RAS mm) or voxel (of the image grid)."""

    basis: str
    axes: Axes

    def __post_init__(self) -> None:
        if self.basis not in BASES or self.axes not in AXES:
            raise ValueError(
                f"basis {self.basis}, axes {self.axes}: give one of {', '.join(BASES)}, and scanner or voxel"
            )

    def __str__(self) -> str:
        return f"{self.basis}, {self.axes} axes"


OURS = Encoding("mrtrix3", "scanner")  # of shd and MRtrix3


def conversion_matrix(
    degree: int, old: Encoding, new: Encoding, affine: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "coeff coeff"]:
    """Return the matrix that takes coefficients told in one way into another, for an image of this affine.

    One number a row where only the basis changes; where the axes do, each degree mixes within itself.
    """
    count = coefficient_count(degree)
    to_mrtrix, from_mrtrix = basis_change(degree, old.basis, "mrtrix3"), basis_change(degree, "mrtrix3", new.basis)
    matrix = np.eye(count)[to_mrtrix.source] * to_mrtrix.factor[:, None]
    if old.axes != new.axes:
        to_scanner = grid_rotation(affine)
        turn = harmonic_rotation(to_scanner if new.axes == "scanner" else to_scanner.T, degree)
        matrix = np.where(np.abs(turn) > _NOTHING, turn, 0.0) @ matrix
    return matrix[from_mrtrix.source] * from_mrtrix.factor[:, None]


def converted_volumes(
    coefficients: Float[np.ndarray, "x y z coeff"],
    matrix: Float[np.ndarray, "new coeff"],
    mask: Bool[np.ndarray, "x y z"] | None = None,
) -> Iterator[Float32[np.ndarray, "x y z"]]:
    """Give the volumes of matrix · coefficients one after the other, zero outside `mask`: one is held in memory."""
    for row in matrix.astype(np.float32):
        volume = np.zeros(coefficients.shape[:3], np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # of what is not finite, outside the mask
            for column in np.flatnonzero(row):
                volume += row[column] * coefficients[..., column]
        yield volume if mask is None else np.where(mask, volume, np.float32(0))
