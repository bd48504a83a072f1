"""Whether two images lie on one grid."""

import numpy as np
from jaxtyping import Float

from shd.errors import EvaluationError

__all__ = ["allowed_offset", "check_same_grid", "greatest_offset", "grid_difference"]

_ALLOWED = 0.1  # of the smallest edge of a voxel, at the corners of the volume


def check_same_grid(
    name: str,
    shape: tuple[int, ...],
    affine: Float[np.ndarray, "4 4"],
    other: str,
    other_shape: tuple[int, ...],
    other_affine: Float[np.ndarray, "4 4"],
) -> None:
    """Raise EvaluationError where two images differ in their first three sizes or by a tenth of a voxel at a corner.

    name, other: what the images are called in the message. affine: voxel index → scanner RAS mm.
    """
    difference = grid_difference(name, shape, affine, other, other_shape, other_affine)
    if difference:
        raise EvaluationError(f"{difference}; compare images of one grid: is it of another scan?")


def grid_difference(
    name: str,
    shape: tuple[int, ...],
    affine: Float[np.ndarray, "4 4"],
    other: str,
    other_shape: tuple[int, ...],
    other_affine: Float[np.ndarray, "4 4"],
) -> str:
    """Return in words how two images differ, as `check_same_grid` has it; nothing where they lie on one grid."""
    if shape[:3] != other_shape[:3]:
        return f"{name} is {_times(shape)} voxels but {other} {_times(other_shape)}"
    offset = greatest_offset(affine, other_affine, shape)
    allowed = allowed_offset(other_affine)
    if not offset <= allowed:
        return f"{name} lies {offset:.2f} mm away from {other} at a corner, more than the {allowed:.2f} mm allowed"
    return ""


def allowed_offset(affine: Float[np.ndarray, "4 4"]) -> float:
    """Return in mm how far the corners of one grid may lie apart: a tenth of a voxel's smallest edge."""
    return _ALLOWED * float(np.linalg.norm(affine[:3, :3], axis=0).min())


def greatest_offset(affine: Float[np.ndarray, "4 4"], other: Float[np.ndarray, "4 4"], shape: tuple[int, ...]) -> float:
    """Return the greatest distance in mm between the corners of two volumes of one shape."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape[:3]) - 1)
    difference = affine - other
    return float(np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max())


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[:3]))
