"""Few fibre directions a voxel."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["CAUCHY_VARIANCE", "cauchy_sparsity"]

CAUCHY_VARIANCE = 1e-5
"""σ² of the Cauchy prior on the fODF density (per steradian)², as published (Elaldi et al. 2024)."""


def cauchy_sparsity(density: Float[Tensor, "vertex voxel"], variance: float = CAUCHY_VARIANCE) -> Float[Tensor, ""]:
    """Return the mean of 2·log(1 + f²/2σ²) over vertices and voxels, the negative log of a Cauchy prior."""
    return 2 * (density.square() / (2 * variance)).log1p().mean()
