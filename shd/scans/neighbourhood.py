"""The mean of a voxel and its neighbours: five times less noise, where the anatomy allows it."""

import numpy as np
from jaxtyping import Float, Int

from shd.scans.normalisation import NormalisedScan

__all__ = ["neighbourhood_mean"]


def neighbourhood_mean(
    scan: NormalisedScan, rows: Int[np.ndarray, " voxel"]
) -> Float[np.ndarray, "voxel volume"]:
    """Return S/S₀ averaged over the 3×3×3 neighbours inside the mask, weights 1-2-1 along each axis.

    The weights depend on distance alone, so turning or reflecting the grid turns the result with it; at the mask's
    border they are scaled to add up to one.
    """
    padded = np.pad(scan.rows, 1, constant_values=-1)
    voxels = scan.voxels[rows] + 1
    total = np.zeros((len(rows), scan.signal.shape[1]), dtype=np.float32)
    weights = np.zeros(len(rows), dtype=np.float32)
    for offset in np.ndindex(3, 3, 3):
        step = np.array(offset) - 1
        neighbour = padded[tuple((voxels + step).T)]
        weight = np.float32(0.125 * 0.5 ** np.abs(step).sum()) * (neighbour >= 0)
        total += scan.signal[neighbour] * weight[:, None]  # row −1 is read but weighs nothing
        weights += weight
    return total / weights[:, None]
