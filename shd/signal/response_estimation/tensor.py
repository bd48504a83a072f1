"""Anisotropy and principal direction of each voxel, by the diffusion tensor."""

import numpy as np
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel
from jaxtyping import Float, Int

from shd.signal.gradients import Gradients

__all__ = ["anisotropy_and_direction"]

_BLOCK = 10_000  # voxels at a time, as DIPY fits them


def anisotropy_and_direction(
    signal: Float[np.ndarray, "voxel volume"],
    gradients: Gradients,
    rows: Int[np.ndarray, " chosen"] | None = None,
    volumes: Int[np.ndarray, " used"] | None = None,
) -> tuple[Float[np.ndarray, " chosen"], Float[np.ndarray, "chosen 3"]]:
    """Return the fractional anisotropy and the principal direction (unit vector, scanner axes) of each voxel.

    DIPY's weighted linear least squares over all shells. Source: Basser et al., Biophys. J. 66 (1994); Chung et al.,
    NeuroImage 33 (2006) for the weights. Signals at or below zero count as the smallest positive one of the voxels.
    rows, volumes: those to use, by default all; nothing is copied but a few at a time.
    """
    gradients = gradients if volumes is None else gradients.select(volumes)
    is_b0 = np.isin(np.arange(len(gradients.bvalues)), gradients.shells[0].volumes)
    table = gradient_table(
        np.where(is_b0, 0.0, gradients.bvalues),
        bvecs=np.where(is_b0[:, None], 0.0, gradients.directions),
        b0_threshold=0,
    )
    rows = np.arange(len(signal)) if rows is None else rows
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK)]

    def read(block: slice) -> Float[np.ndarray, "some used"]:
        return signal[rows[block]] if volumes is None else signal[rows[block]][:, volumes]

    floor = min((float(found[found > 0].min(initial=np.inf)) for found in map(read, blocks)), default=np.inf)
    model = TensorModel(table, fit_method="WLS", min_signal=floor if np.isfinite(floor) else 1.0)
    anisotropy, directions = np.empty(len(rows)), np.empty((len(rows), 3))
    for block in blocks:
        fit = model.fit(np.asarray(read(block), dtype=np.float64))
        anisotropy[block], directions[block] = np.nan_to_num(np.asarray(fit.fa)), np.asarray(fit.evecs)[..., :, 0]
    return anisotropy, directions
