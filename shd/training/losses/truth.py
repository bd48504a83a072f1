"""How far an answer is from a truth that is known: of simulated scans."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shd.sphere.harmonics import even_harmonics, gaussian_factors

__all__ = ["TruthLoss", "truth_loss"]

_DEGREE = 12
_PIXEL_DEGREES = 3.0  # around vertices and true fibres: narrower than in what is written, so that lobes are no wider
_FLOOR = 1.0  # density below which differences count less than by their root: a full voxel's mean
_LEAST_WEIGHT = 0.1  # of a voxel without white matter


@dataclass(frozen=True, eq=False)
class TruthLoss:
    """The distance between fODFs as they are written, at the network's vertices; made by `truth_loss`.

    smooth: from densities at the vertices to the density of the fODF of degree 12 there. evaluate: from the truth's
    harmonics to the same. highest: density that a voxel full of parallel fibres has.
    """

    smooth: Float[Tensor, "vertex vertex"]
    evaluate: Float[Tensor, "vertex coeff"]
    highest: float

    def terms(
        self,
        wm: Float[Tensor, "vertex voxel"],
        isotropic: Float[Tensor, "voxel tissue"],
        fods: Float[Tensor, "voxel coeff"],
        tissues: Float[Tensor, "voxel all_tissues"],
    ) -> dict[str, Tensor]:
        """Return the terms, means over voxels weighed by their white matter.

        "density": mean square over the sphere, in units of the highest density. "root": of the difference of the roots,
        in which a tenth of a fibre counts as well. "tissues": mean square of the parts.
        """
        found, true = self.smooth @ wm, self.evaluate @ fods.T
        weight = tissues[:, 0] + _LEAST_WEIGHT
        weight = weight / weight.mean()
        roots = (found.clamp(min=0) + _FLOOR).sqrt() - (true.clamp(min=0) + _FLOOR).sqrt()
        parts = torch.cat([wm.mean(0)[:, None], isotropic], dim=1) - tissues
        return {
            "density": ((found - true).square().mean(0) * weight).mean() / self.highest,
            "root": (roots.square().mean(0) * weight).mean(),
            "tissues": parts.square().sum(1).mean(),
        }


def truth_loss(vertices: Float[np.ndarray, "vertex 3"], device: torch.device | str = "cpu") -> TruthLoss:
    """Return the loss for a network's finest sphere."""
    values, factors = even_harmonics(vertices, _DEGREE), gaussian_factors(_DEGREE, _PIXEL_DEGREES)
    evaluate = 4 * np.pi * values * factors
    smooth = evaluate @ values.T / len(vertices)
    highest = float(evaluate[0] @ values[0])

    def single(matrix: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32)).to(device)

    return TruthLoss(single(smooth), single(evaluate), highest)
