"""Images of fODFs sampled on a set of directions: a volume a direction, which are listed in a text file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd.fodf.frames import to_voxel_axes
from shd.io.atomic import whole_file
from shd.io.images import write_image
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["write_samples"]

_AT_ONCE = 16  # directions evaluated by one matrix product


def write_samples(
    path: Path,
    vertices_path: Path,
    coefficients: Float[np.ndarray, "x y z coeff"],
    directions: Float[np.ndarray, "direction 3"],
    affine: Float[np.ndarray, "4 4"],
    mask: Bool[np.ndarray, "x y z"],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the values of fODFs (MRtrix3 basis, scanner axes) at unit vectors along the voxel axes, as DIPY has them.

    directions: voxel axes; listed in `vertices_path`, a row x y z each. affine: voxel index → scanner RAS mm. mask:
    zero outside. Raises OutputError where a file cannot be written.
    """
    sidecar = {
        **(metadata or {}),
        "OrientationEncoding": {"EncodingAxis": 3, "Reference": "ijk", "Type": "amp", "AntipodalSymmetry": True},
        "Directions": f"rows of {vertices_path.name}: unit vectors along the axes of the voxel grid",
    }
    with whole_file(vertices_path) as partial:
        np.savetxt(partial, directions, fmt="%.9f")
        shape = (*mask.shape, len(directions))
        write_image(path, _volumes(coefficients, directions, affine, mask), shape, affine, sidecar)


def _volumes(
    coefficients: Float[np.ndarray, "x y z coeff"],
    directions: Float[np.ndarray, "direction 3"],
    affine: Float[np.ndarray, "4 4"],
    mask: Bool[np.ndarray, "x y z"],
) -> Iterator[Float32[np.ndarray, "x y z"]]:
    inside = to_voxel_axes(coefficients[mask], affine)
    harmonics = even_harmonics(directions, degree_of_count(coefficients.shape[-1])).astype(inside.dtype)
    for start in range(0, len(directions), _AT_ONCE):
        values = inside @ harmonics[start : start + _AT_ONCE].T
        for column in values.T:
            volume = np.zeros(mask.shape, np.float32)
            volume[mask] = column
            yield volume
