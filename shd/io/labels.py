"""Label images: a whole number a voxel."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from shd.errors import EvaluationError, ScanError
from shd.io.grids import check_same_grid
from shd.io.images import read_with_sidecar

__all__ = ["MOST_LABELS", "read_labels"]

MOST_LABELS = 255
"""Highest label: segmentations have a few."""


def read_labels(
    path: str | Path, name: str, shape: tuple[int, ...], affine: Float[np.ndarray, "4 4"]
) -> Int[np.ndarray, "x y z"]:
    """Return the labels of an image, NIfTI or .mif, on the grid of another, called `name` in messages.

    affine: voxel index → scanner RAS mm. Raises ScanError where the file is no label image (other values than whole
    numbers from 0 to 255) or lies on another grid.
    """
    file = Path(path)
    values, grid, _ = read_with_sidecar(file)
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    try:
        check_same_grid(f"the label image {file.name}", values.shape, grid, name, shape, affine)
    except EvaluationError as error:
        raise ScanError(str(error)) from None
    if values.ndim != 3:
        raise ScanError(f"{file.name}: {values.ndim}-D with {values.shape[3:]} volumes; a label image has one")
    whole = np.isfinite(values) & (values == np.round(values)) & (values >= 0) & (values <= MOST_LABELS)
    if not whole.all():
        first = tuple(map(int, np.argwhere(~whole)[0]))
        raise ScanError(
            f"{file.name}: {int((~whole).sum())} of {values.size} voxels are no labels, the first at {first} "
            f"({float(values[first]):g}); labels are whole numbers from 0 to {MOST_LABELS}: threshold the image"
        )
    return values.astype(np.int16)
