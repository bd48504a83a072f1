"""A volume of fODFs as the next program reads it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from shd.sphere.harmonics import degree_of_count

__all__ = ["FodField"]


@dataclass(frozen=True, eq=False)
class FodField:
    """fODFs of every tissue on one voxel grid.

    wm: harmonic coefficients in the MRtrix3 basis, scanner axes, zero outside the mask. isotropic: tissue name → its
    l=0 coefficient. Amplitudes are per response (a voxel filled by one fibre population has l=0 coefficient 1/√4π).
    affine: voxel index → scanner RAS mm.
    """

    wm: Float[np.ndarray, "x y z coeff"]
    isotropic: dict[str, Float[np.ndarray, "x y z"]]
    affine: Float[np.ndarray, "4 4"]
    mask: Bool[np.ndarray, "x y z"]

    @property
    def degree(self) -> int:
        """Highest harmonic degree of the white-matter fODFs."""
        return degree_of_count(self.wm.shape[-1])
