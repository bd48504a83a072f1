"""One convolution with what follows it, and the change of resolution between levels."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from shd.engines.engine import Engine
from shd.graphs.hierarchy import Level
from shd.models.config import ModelConfig
from shd.models.functional import pool_vertices
from shd.models.normalisation import make_normalisation
from shd.models.spatio_spherical import SpatioSphericalConvolution

__all__ = ["ConvolutionBlock", "coarser", "pool_mask", "pool_voxels"]


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


def pool_voxels(
    x: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"]
) -> Float[Tensor, "vertex batch x2 y2 z2 channel"]:
    """Return the mean over the masked voxels of every 2×2×2 block; `x` must be zero outside the mask."""
    count = _blocks(mask).sum(dim=(-6, -4, -2)).clamp(min=1)
    return _blocks(x).sum(dim=(-6, -4, -2)) * (1 / count).to(x.dtype)


def coarser(x: Tensor, mask: Tensor, spatial: bool) -> Tensor:
    """Return `x` one level down: four vertices to one, and with `spatial` eight voxels to one."""
    pooled = pool_vertices(x)
    return pool_voxels(pooled, mask) if spatial else pooled
