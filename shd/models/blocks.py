"""One convolution with what follows it, and the change of resolution between levels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.engines.engine import Engine
from shd.graphs.hierarchy import Level
from shd.models.config import ModelConfig
from shd.models.normalisation import make_normalisation
from shd.models.spatio_spherical import SpatioSphericalConvolution

__all__ = ["ConvolutionBlock", "coarser", "pool_mask"]


class ConvolutionBlock(nn.Module):
    """Convolution, normalisation, ReLU; zero outside the mask, so that every border is the same kind of border."""

    def __init__(self, level: Level, channels_in: int, channels_out: int, config: ModelConfig) -> None:
        super().__init__()
        self.convolution = SpatioSphericalConvolution(level, channels_in, channels_out, config.order, config.kernel)
        self.normalisation = make_normalisation(config.normalisation, channels_out)

    def forward(
        self, sources: Sequence[Tensor], mask: Float[Tensor, "batch x y z 1"], engine: Engine
    ) -> Float[Tensor, "vertex batch x y z channel_out"]:
        """Return the activations; `sources` are in the engine's representation, as `Engine.mix` takes them."""
        level = self.convolution.level
        z, statistics = engine.mix(sources, level, self.convolution.weight, mask, self.normalisation.needs)
        return engine.leave(z, level, *self.normalisation(statistics, mask))


def _blocks(x: Tensor) -> Tensor:
    """Return (…, x/2, 2, y/2, 2, z/2, 2, channel)."""
    return x.unflatten(-4, (-1, 2)).unflatten(-3, (-1, 2)).unflatten(-2, (-1, 2))


def pool_mask(mask: Float[Tensor, "batch x y z 1"]) -> Float[Tensor, "batch x2 y2 z2 1"]:
    """Return 1 for every 2×2×2 block with any voxel in the mask."""
    return _blocks(mask).amax(dim=(-6, -4, -2))


def coarser(
    x: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"], spatial: bool, engine: Engine
) -> Float[Tensor, "coarse batch x2 y2 z2 channel"]:
    """Return `x` one level down: means of four vertices, and with `spatial` of the masked voxels of 2×2×2.

    `x` must be zero outside the mask.
    """
    weight = 1 / _blocks(mask).sum(dim=(-6, -4, -2)).clamp(min=1) if spatial else torch.ones_like(mask)
    return engine.pool(x, weight.squeeze(-1))
