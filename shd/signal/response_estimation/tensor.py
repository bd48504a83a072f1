"""Anisotropy and principal direction of each voxel, by the diffusion tensor."""

import numpy as np
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel
from jaxtyping import Float

from shd.signal.gradients import Gradients

__all__ = ["anisotropy_and_direction"]


def anisotropy_and_direction(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients
) -> tuple[Float[np.ndarray, " voxel"], Float[np.ndarray, "voxel 3"]]:
    """Return the fractional anisotropy and the principal direction (unit vector, scanner axes) of each voxel.

    DIPY's weighted linear least squares over all shells. Source: Basser et al., Biophys. J. 66 (1994); Chung et al.,
    NeuroImage 33 (2006) for the weights. Signals at or below zero count as the smallest positive one of the voxels.
    """
    is_b0 = np.isin(np.arange(len(gradients.bvalues)), gradients.shells[0].volumes)
    table = gradient_table(
        np.where(is_b0, 0.0, gradients.bvalues),
        bvecs=np.where(is_b0[:, None], 0.0, gradients.directions),
        b0_threshold=0,
    )
    positive = signal[signal > 0]
    floor = float(positive.min()) if positive.size else 1.0
    fit = TensorModel(table, fit_method="WLS", min_signal=floor).fit(np.asarray(signal, dtype=np.float64))
    return np.nan_to_num(np.asarray(fit.fa)), np.asarray(fit.evecs)[..., :, 0]
