"""The mean of a voxel and its neighbours: five times less noise, where the anatomy allows it."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from shd.scans.normalisation import NormalisedScan

__all__ = ["neighbourhood_mean"]

_STEPS = np.array(list(np.ndindex(3, 3, 3))) - 1
_WEIGHTS = (0.5 ** np.abs(_STEPS).sum(1)).astype(np.float32)


def neighbourhood_mean(
    scan: NormalisedScan, rows: Int[np.ndarray, " voxel"]
) -> Float[np.ndarray, "voxel volume"]:
    """Return S/S₀ averaged over the 3×3×3 neighbours inside the mask, weights 1-2-1 along each axis.

    The weights depend on distance alone, so turning or reflecting the grid turns the result with it; at the mask's
    border they are scaled to add up to one. Memory is set by `rows`: no array of the scan's size is made.
    """
    place = scan.voxels[rows]
    low, high = place.min(0), place.max(0)
    inner = np.maximum(low - 1, 0)
    box = scan.rows[tuple(slice(a, b + 2) for a, b in zip(inner, high, strict=True))]
    after = np.maximum(high + 2 - scan.rows.shape, 0)
    padded = np.pad(box, np.stack([inner - (low - 1), after], axis=1), constant_values=-1)
    flat = np.array(padded.strides) // padded.itemsize
    neighbours = padded.ravel()[((place - (low - 1)) @ flat)[:, None] + _STEPS @ flat]
    inside = neighbours >= 0
    weights = inside * _WEIGHTS
    weights /= weights.sum(axis=1, keepdims=True)
    bounds = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    mean = csr_array((weights[inside], neighbours[inside], bounds), shape=(len(rows), len(scan.signal)))
    return mean @ np.asarray(scan.signal)
