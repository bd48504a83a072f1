"""What is exported: fODFs of a mask, with the peaks and fixels of them computed when a format first asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import FormatError
from shd.fodf.lobes import Fixels, fixels_of
from shd.fodf.peaks import Peaks, peaks_on_grid

__all__ = ["Source"]


@dataclass(frozen=True, eq=False)
class Source:
    """fODFs in the MRtrix3 basis and scanner axes, on the grid of `affine` (voxel index → scanner RAS mm).

    isotropic: l = 0 coefficient of the other tissues. mask: voxels to export, all finite; what lies outside may be
    anything. sidecars: BEP016 keys, by tissue. Raises FormatError for an empty mask.
    """

    wm: Float[np.ndarray, "x y z coeff"]
    isotropic: dict[str, Float[np.ndarray, "x y z"]]
    affine: Float[np.ndarray, "4 4"]
    mask: Bool[np.ndarray, "x y z"]
    sidecars: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        if not self.mask.any():
            raise FormatError(f"0 of {self.mask.size} voxels are inside the mask; give a mask that covers some fODFs")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each image axis."""
        x, y, z = self.mask.shape
        return x, y, z

    def sidecar(self, tissue: str = "wm") -> dict[str, Any]:
        """Return what is known of a tissue's fODFs, without what is told of their file."""
        told = ("OrientationEncoding", "Frame", "DipyBasis")
        return {key: value for key, value in self.sidecars.get(tissue, {}).items() if key not in told}

    @cached_property
    def peaks(self) -> Peaks:
        """Up to 5 peaks of each voxel of the mask, those of 0.1 of the highest and more; scanner axes, on the grid."""
        return peaks_on_grid(self.wm, self.mask)

    @cached_property
    def fixels(self) -> Fixels:
        """The lobes of the mask's voxels (in C order) that reach an amplitude of 0.1; scanner axes."""
        return fixels_of(self.wm[self.mask])
