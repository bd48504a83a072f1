"""Convolution over voxels and sphere at once: equivariant to E(3) in space and SO(3) in each voxel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hierarchy import Level
from shd.graphs.spatial import distance_classes, expanded_class_map
from shd.models.functional import spatio_spherical_convolution

__all__ = ["SpatioSphericalConvolution"]


class SpatioSphericalConvolution(nn.Module):
    """y = Σ_{k,r} T_k(L) S_r x W[k, r] (Elaldi et al. 2024, section 3.2) with a kernel isotropic in space.

    size: 3 or 5 voxels a side; 1 makes it voxel-wise. order: number of Chebyshev terms. No bias: a normalisation
    follows.
    """

    def __init__(
        self, level: Level, channels_in: int, channels_out: int, order: int = 5, size: int = 3
    ) -> None:
        super().__init__()
        self.level, self.size, self.engine = level, size, "auto"
        self.weight = nn.Parameter(torch.empty(order, len(distance_classes(size)), channels_in, channels_out))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights so that white noise in gives variance 2 a channel out, each distance contributing equally."""
        order, radii, channels_in, _ = self.weight.shape
        taps = torch.bincount(torch.from_numpy(expanded_class_map(self.size)).flatten())
        std = (2.0 / (order * radii * channels_in * taps)) ** 0.5
        with torch.no_grad():
            self.weight.normal_().mul_(std.to(self.weight)[None, :, None, None])

    def forward(
        self, x: Float[Tensor, "vertex batch x y z channel_in"]
    ) -> Float[Tensor, "vertex batch x y z channel_out"]:
        """Return the convolved field."""
        return spatio_spherical_convolution(x, self.level, self.weight, self.engine)
