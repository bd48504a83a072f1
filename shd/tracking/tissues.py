"""What each voxel is made of, from the amounts that a deconvolution gives."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from shd.tracking.field import TrackingField

__all__ = ["fibre_share", "tissue_maps", "white_matter"]

_WHITE_MATTER = 0.5  # of a voxel
_LEAST_ROUND = 95  # percentile


def fibre_share(field: TrackingField) -> Float32[np.ndarray, " voxel"]:
    """Return the share of white matter in each voxel of the mask: its amount over that of all tissues.

    Of fits with white matter alone, its amount, at most 1.
    """
    wm = field.amounts["wm"]
    return _share(field, "wm") if len(field.amounts) > 1 else np.minimum(wm, np.float32(1))


def white_matter(field: TrackingField) -> Bool[np.ndarray, "x y z"]:
    """Return the voxels that are mostly fibres: where seeds are put if the user does not say.

    Those with a share of more than a half. Where white matter alone was fitted its fODF takes up grey matter's signal,
    so that amounts do not tell them apart; then those whose fODF is more than half as far from a sphere, by the norm of
    its directional coefficients, as the roundest of the 5 % that are least round.
    """
    if len(field.amounts) > 1:
        chosen = fibre_share(field) > _WHITE_MATTER
    else:
        norms = np.linalg.norm(field.coefficients[:, 1:], axis=1)
        chosen = norms > _WHITE_MATTER * np.percentile(norms, _LEAST_ROUND)
    result = np.zeros(field.rows.shape, dtype=bool)
    result[field.mask] = chosen
    return result


def tissue_maps(
    field: TrackingField,
) -> tuple[Float64[np.ndarray, "x y z"], Float64[np.ndarray, "x y z"]]:
    """Return the share of each voxel where streamlines may end (grey matter, and all outside the mask), and may not.

    With white matter alone everything else may be an end.
    """
    inside = field.mask
    share = fibre_share(field)
    fluid = _share(field, "csf")
    include, exclude = np.ones(field.rows.shape), np.zeros(field.rows.shape)
    include[inside] = np.clip(1.0 - share - fluid, 0.0, 1.0)
    exclude[inside] = fluid
    return include, exclude


def _share(field: TrackingField, tissue: str) -> Float32[np.ndarray, " voxel"]:
    """Return a tissue's amount over that of all; zero where there is nothing, or no such tissue."""
    total = np.sum(list(field.amounts.values()), axis=0, dtype=np.float32)
    amount = field.amounts.get(tissue, np.zeros_like(total))
    return np.divide(amount, total, out=np.zeros_like(total), where=total > 0)
