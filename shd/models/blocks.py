"""One convolution with what follows it, and the change of resolution between levels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hierarchy import Level
from shd.models.config import ModelConfig
from shd.models.functional import pool_vertices, unpool_vertices
from shd.models.normalisation import make_normalisation
from shd.models.spatio_spherical import SpatioSphericalConvolution

__all__ = ["ConvolutionBlock", "coarser", "finer", "pool_mask", "pool_voxels", "unpool_voxels"]


class ConvolutionBlock(nn.Module):
    """Convolution, normalisation, ReLU; zero outside the mask, so that every border is the same kind of border."""

    def __init__(self, level: Level, channels_in: int, channels_out: int, config: ModelConfig) -> None:
        super().__init__()
        self.convolution = SpatioSphericalConvolution(level, channels_in, channels_out, config.order, config.kernel)
        self.normalisation = make_normalisation(config.normalisation, channels_out)

    def forward(
        self, x: Float[Tensor, "vertex batch x y z channel_in"], mask: Float[Tensor, "batch x y z 1"]
    ) -> Float[Tensor, "vertex batch x y z channel_out"]:
        """Return the activations."""
        y = self.normalisation(self.convolution(x), mask)
        return torch.relu(y) * mask.to(y.dtype)


def _blocks(x: Tensor) -> Tensor:
    """Return (…, x/2, 2, y/2, 2, z/2, 2, channel)."""
    return x.unflatten(-4, (-1, 2)).unflatten(-3, (-1, 2)).unflatten(-2, (-1, 2))


def pool_mask(mask: Float[Tensor, "batch x y z 1"]) -> Float[Tensor, "batch x2 y2 z2 1"]:
    """Return 1 for every 2×2×2 block with any voxel in the mask."""
    return _blocks(mask).amax(dim=(-6, -4, -2))


def pool_voxels(
    x: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"]
) -> Float[Tensor, "vertex batch x2 y2 z2 channel"]:
    """Return the mean over the masked voxels of every 2×2×2 block; `x` must be zero outside the mask."""
    count = _blocks(mask).sum(dim=(-6, -4, -2)).clamp(min=1)
    return _blocks(x).sum(dim=(-6, -4, -2)) * (1 / count).to(x.dtype)


def unpool_voxels(x: Float[Tensor, "vertex batch x2 y2 z2 channel"]) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return every block's value copied to its 2×2×2 voxels."""
    vertices, batch, nx, ny, nz, channels = x.shape
    wide = x[:, :, :, None, :, None, :, None].expand(vertices, batch, nx, 2, ny, 2, nz, 2, channels)
    return wide.reshape(vertices, batch, 2 * nx, 2 * ny, 2 * nz, channels)


def coarser(x: Tensor, mask: Tensor, spatial: bool) -> Tensor:
    """Return `x` one level down: four vertices to one, and with `spatial` eight voxels to one."""
    pooled = pool_vertices(x)
    return pool_voxels(pooled, mask) if spatial else pooled


def finer(x: Tensor, spatial: bool) -> Tensor:
    """Return `x` one level up, by copying."""
    return unpool_vertices(unpool_voxels(x) if spatial else x)
