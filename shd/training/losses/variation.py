"""Neighbouring voxels have similar fODFs, but for edges."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["total_variation"]

_EPSILON = 1e-6  # keeps the gradient of the root finite where neighbours are equal


def total_variation(
    coefficients: Float[Tensor, "coeff batch x y z"], mask: Float[Tensor, "batch x y z"]
) -> Float[Tensor, ""]:
    """Return the isotropic spatial total variation of fODFs, a mean over masked voxels.

    For each voxel √(Σ_axes ½(‖c(x+1) − c(x)‖² + ‖c(x) − c(x−1)‖²)), the norm being that of functions on the sphere
    (Parseval); taking the steps to both sides makes it the same for a reflected volume. A difference counts only where
    both voxels are inside the mask, so neither the mask's edge nor the tile's acts as an edge of the anatomy. Source:
    Rudin, Osher and Fatemi 1992, on vector-valued images.
    """
    squared = torch.zeros_like(mask)
    for axis in (1, 2, 3):
        length = mask.shape[axis] - 1
        if length < 1:
            continue
        both = mask.narrow(axis, 0, length) * mask.narrow(axis, 1, length)
        step = coefficients.narrow(axis + 1, 1, length) - coefficients.narrow(axis + 1, 0, length)
        change = step.square().sum(0) * both
        inner = [0, 0] * (3 - axis)
        forward, backward = pad(change, [*inner, 0, 1]), pad(change, [*inner, 1, 0])
        squared = squared + 0.5 * (forward + backward)
    root = (squared + _EPSILON**2).sqrt() - _EPSILON
    return (root * mask).sum() / mask.sum().clamp(min=1)
