"""The scan as the network takes it: each voxel divided by its own b=0 signal, voxels of the mask as rows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from shd.scans.scan import Scan
from shd.signal.gradients import Gradients

__all__ = ["NormalisedScan", "normalise"]

_CEILING = 2.0
"""Diffusion signal above twice the b=0 signal is no diffusion: clip it, so that one voxel cannot rule the loss."""


@dataclass(frozen=True, eq=False)
class NormalisedScan:
    """Rows of S/S₀ for the voxels of the mask, in C order of the grid.

    signal: (voxel, volume) float32. b0: mean b=0 intensity a voxel. rows: (x, y, z) → row, −1 outside the mask.
    """

    signal: Float[np.ndarray, "voxel volume"]
    b0: Float[np.ndarray, " voxel"]
    rows: Int[np.ndarray, "x y z"]
    gradients: Gradients
    affine: Float[np.ndarray, "4 4"]

    @cached_property
    def voxels(self) -> Int[np.ndarray, "voxel 3"]:
        """Grid index of every row."""
        return np.argwhere(self.rows >= 0)


def normalise(scan: Scan, block: int = 4096) -> NormalisedScan:
    """Return the scan's masked voxels divided by their mean b=0 signal; `block` of them at a time.

    Voxels whose mean b=0 signal is not positive become zero rows with b0 = 0.
    """
    signal = scan.intensities(np.argwhere(scan.mask))
    b0 = np.empty(len(signal), dtype=np.float32)
    for start in range(0, len(signal), block):
        raw = signal[start : start + block]
        mean = raw[:, scan.gradients.b0_volumes].mean(axis=1)
        positive = mean > 0
        b0[start : start + block] = np.where(positive, mean, 0)
        raw /= np.where(positive, mean, np.float32(np.inf))[:, None]
        np.clip(raw, 0, _CEILING, out=raw)
    rows = np.full(scan.mask.shape, -1, dtype=np.int64)
    rows[scan.mask] = np.arange(len(signal))
    return NormalisedScan(signal, b0, rows, scan.gradients, scan.affine)
