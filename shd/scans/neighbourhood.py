"""What the six voxels beside a voxel hold."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shd.scans.normalisation import NormalisedScan

__all__ = ["Neighbourhood", "neighbourhood"]

_FACES = np.array([(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)])


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Mean over the six neighbours across faces; where one lies outside the mask the voxel itself stands for it.

    So it is symmetric, ⟨a, N b⟩ = ⟨N a, b⟩, its sums over the mask are kept, and the mask's border is no border of the
    anatomy. It commutes with every motion of the grid onto itself.

    rows: of the neighbours, six in all that `neighbourhood` makes.
    """

    rows: Int[Tensor, "voxel face"]

    def __call__(
        self, field: Float[Tensor, "voxel value"], chosen: slice = slice(None)
    ) -> Float[Tensor, "chosen value"]:
        """Return the mean of the neighbours' non-negative parts, of the chosen voxels."""
        wanted = self.rows[chosen]
        out = field.new_empty((len(wanted), field.shape[1]))
        block = max(1, (1 << 22) // max(1, field.shape[1]))  # a few megabytes at a time stay in the cache
        for start in range(0, len(out), block):
            part, rows = out[start : start + block].zero_(), wanted[start : start + block]
            for face in rows.T:
                part += field.index_select(0, face).clamp_(min=0)
        return out.mul_(1 / wanted.shape[1])


def neighbourhood(scan: NormalisedScan, device: torch.device | str = "cpu") -> Neighbourhood:
    """Return the neighbourhood of a scan's voxels."""
    rows = np.pad(scan.rows, 1, constant_values=-1)
    places, own = scan.voxels + 1, np.arange(len(scan.signal))
    found = np.stack([rows[tuple((places + step).T)] for step in _FACES], axis=1).reshape(len(own), len(_FACES))
    return Neighbourhood(torch.from_numpy(np.where(found < 0, own[:, None], found)).to(device))
