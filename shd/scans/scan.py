"""A preprocessed diffusion scan: the one object every later step takes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from shd.signal.gradients import Gradients

__all__ = ["Scan"]


@dataclass(frozen=True, eq=False)
class Scan:
    """Diffusion volumes with their gradients, geometry and mask; validated when made, never changed after.

    data: intensities (x, y, z, volume), any real dtype, may be memory-mapped. affine: voxel index → scanner RAS mm.
    gradients: directions in scanner axes. mask: voxels to be fitted. name: for messages and sidecars.
    """

    data: Shaped[np.ndarray, "x y z volume"]
    affine: Float[np.ndarray, "4 4"]
    gradients: Gradients
    mask: Bool[np.ndarray, "x y z"]
    name: str = "scan"
