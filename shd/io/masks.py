"""Masks: the voxels of an image that are above 0.5, on a grid that is known."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import ScanError
from shd.io.grids import grid_difference
from shd.io.mif import is_mif, read_mif
from shd.io.nifti import affine_of, read_image

__all__ = ["read_mask"]


def read_mask(
    path: str | Path,
    beside: str,
    shape: tuple[int, ...],
    affine: Float[np.ndarray, "4 4"],
    what: str = "mask",
) -> Bool[np.ndarray, "x y z"]:
    """Return the voxels of an image (NIfTI or .mif) that are above 0.5, checked to be some, on the grid of another.

    beside: what the other image is called in messages; shape (its first three sizes count), affine: its own. what: the
    mask's name in messages, as `seeds`. Raises ScanError where the image cannot be read, has several volumes, lies on
    another grid, or has no voxel above 0.5.
    """
    path = Path(path)
    if is_mif(path):
        held = read_mif(path)
        values, grid = held.data, held.affine
    else:
        image, values = read_image(path)
        grid = affine_of(image, path.name)
    if values.ndim > 3 and values.shape[3:] != (1,) * (values.ndim - 3):
        sizes = " × ".join(map(str, values.shape))
        raise ScanError(f"{path.name}: {sizes}, but 1 volume is needed; take one of them as {what}")
    difference = grid_difference(f"the {what} ({path.name})", values.shape, grid, beside, shape, affine)
    if difference:
        raise ScanError(f"{difference}; resample the {what} to that grid")
    inside = np.asarray(values.reshape(shape[:3]) > 0.5)
    if not inside.any():
        raise ScanError(f"{path.name}: 0 of {inside.size} voxels are above 0.5; give a {what} that holds voxels")
    return inside
