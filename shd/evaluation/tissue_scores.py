"""How well the amounts of the tissues are found."""

import numpy as np
from jaxtyping import Bool, Float

from shd.evaluation.truth import Truth
from shd.fodf.field import FodField

__all__ = ["TISSUE_ORDER", "tissue_amounts", "tissue_errors"]

TISSUE_ORDER = ("wm", "gm", "csf")
"""The last axis of `Truth.tissue_fractions`."""


def tissue_amounts(fod: FodField) -> dict[str, Float[np.ndarray, "x y z"]]:
    """Return the amount of each tissue per response, √4π times its l=0 coefficient: 1 where it fills the voxel."""
    volumes = {"wm": fod.wm[..., 0], **fod.isotropic}
    return {tissue: np.sqrt(4 * np.pi) * np.asarray(volume, dtype=np.float64) for tissue, volume in volumes.items()}


def tissue_errors(fod: FodField, truth: Truth, voxels: Bool[np.ndarray, "x y z"] | None = None) -> dict[str, float]:
    """Return the mean absolute difference between the amount of each tissue and its true fraction of the voxel.

    The truth is of volume fractions, and simulated tissues have one b=0 intensity, so a perfect answer with exact
    responses has amounts equal to the fractions. Tissues that the result does not hold are left out. voxels: which
    count; by default the truth's mask.
    """
    chosen = truth.mask if voxels is None else voxels
    return {
        tissue: float(np.mean(np.abs(amount[chosen] - truth.tissue_fractions[chosen][:, TISSUE_ORDER.index(tissue)])))
        for tissue, amount in tissue_amounts(fod).items()
    }
