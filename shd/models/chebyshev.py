"""Chebyshev convolution on the sphere, voxel by voxel: equivariant to rotations of each voxel's signal."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hierarchy import Level
from shd.models.functional import chebyshev_convolution

__all__ = ["ChebyshevConvolution"]


class ChebyshevConvolution(nn.Module):
    """y = Σ_k T_k(L) x W[k] on one level of the sphere (Defferrard et al. 2016; Elaldi et al. 2021, ESD)."""

    def __init__(self, level: Level, channels_in: int, channels_out: int, order: int = 5) -> None:
        super().__init__()
        self.level, self.engine = level, "auto"
        self.weight = nn.Parameter(torch.empty(order, channels_in, channels_out))
        nn.init.normal_(self.weight, std=(2 / (order * channels_in)) ** 0.5)

    def forward(self, x: Float[Tensor, "vertex *grid channel_in"]) -> Float[Tensor, "vertex *grid channel_out"]:
        """Return the convolved signal."""
        return chebyshev_convolution(x, self.level, self.weight, self.engine)
