"""What each voxel is made of, from the amounts that a deconvolution gives."""

import numpy as np
from jaxtyping import Float, Float32, Float64

from shd.tracking.field import TrackingField

__all__ = ["fibre_share", "tissue_maps"]


def fibre_share(field: TrackingField) -> Float32[np.ndarray, " voxel"]:
    """Return the share of white matter in each voxel of the mask.

    Of fits with several tissues: its amount over that of all. Of fits with white matter alone, whose fODFs take up grey
    matter's signal too: how far the fODF is from a sphere, as its highest possible peak over a single fibre's, by the
    norm of the coefficients (Parseval), at most 1.
    """
    wm = field.amounts["wm"]
    if len(field.amounts) > 1:
        total = np.sum(list(field.amounts.values()), axis=0)
        return np.divide(wm, total, out=np.zeros_like(wm), where=total > 0)
    return np.clip(wm, 0.0, 1.0)


def tissue_maps(
    field: TrackingField,
) -> tuple[Float64[np.ndarray, "x y z"], Float64[np.ndarray, "x y z"]]:
    """Return the share of each voxel where streamlines may end (grey matter, and all outside the mask), and may not.

    With white matter alone everything else may be an end.
    """
    inside = field.mask
    rows = field.rows[inside]
    share = fibre_share(field)
    fluid = _fluid_share(field)
    include, exclude = np.ones(field.rows.shape), np.zeros(field.rows.shape)
    include[inside] = np.clip(1.0 - share - fluid, 0.0, 1.0)[rows]
    exclude[inside] = fluid[rows]
    return include, exclude


def _fluid_share(field: TrackingField) -> Float[np.ndarray, " voxel"]:
    total = np.sum(list(field.amounts.values()), axis=0)
    fluid = field.amounts.get("csf", np.zeros_like(total))
    return np.divide(fluid, total, out=np.zeros_like(fluid), where=total > 0)
