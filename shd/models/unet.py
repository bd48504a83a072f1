"""The U-Net: down through the levels of the sphere (and of the voxel grid), and up again with skips."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.engines.choice import choose_engine
from shd.engines.engine import Engine
from shd.graphs.hierarchy import Level, sphere_hierarchy
from shd.graphs.spatial import distance_classes
from shd.models.blocks import ConvolutionBlock, pool_mask, pooling_weight, recomputed
from shd.models.config import ModelConfig

__all__ = ["UNet", "Window", "cut"]

Window = tuple[slice, slice, slice]


class UNet(nn.Module):
    """Spatio-spherical U-Net (Elaldi et al. 2024, figure 2), shaped by a `ModelConfig`.

    Channels double at each level. The first `spatial_poolings` poolings also halve the voxel grid, whose sides must be
    multiples of `config.spatial_factor`. engine: one of `shd.engines.ENGINES`. recompute: keep less for the backward
    pass, see `recomputed`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.engine, self.recompute = config, "auto", False
        self.levels = sphere_hierarchy(config.nside, config.levels, config.hemisphere).levels
        widths = [config.width << depth for depth in range(config.levels)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        channels = config.input_channels
        for level, width in zip(self.levels, widths, strict=True):
            self.down.append(_stage(level, channels, width, config))
            channels = width
        for level, width in zip(self.levels[-2::-1], widths[-2::-1], strict=True):
            self.up.append(_stage(level, channels + width, width, config))
            channels = width

    @property
    def output_channels(self) -> int:
        """Channels of the returned features."""
        return self.config.width

    def forward(
        self,
        x: Float[Tensor, "vertex batch x y z channel_in"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return features at the finest level, zero outside the mask (1 inside the brain, 0 outside).

        window: slices of x, y and z outside which no answer is wanted: the last stage, the dearest, is computed there
        alone, what lies outside counting as zero to it. Finite input outside the mask has no influence. Raises
        ValueError where the sides of the voxel grid or of the window are no multiples of `config.spatial_factor`.
        """
        if any(side % self.config.spatial_factor for side in mask.shape[1:4]):
            grid, factor = "×".join(map(str, mask.shape[1:4])), self.config.spatial_factor
            raise ValueError(f"a grid of {grid} voxels, but pooling needs multiples of {factor}; pad it with zeros")
        engine = choose_engine(self.engine, x, len(distance_classes(self.config.kernel)))
        if len(self.levels) == 1 and window is not None:  # the only stage is the last
            x, mask = cut(x, window), cut(mask, window)
        z = engine.enter(x * mask.to(x.dtype), self.levels[0])
        skips, masks = [], [mask]
        last = len(self.down) - 1
        for depth, stage in enumerate(self.down):
            z = _run(stage, [z], masks[-1], engine, last == 0, self.recompute)
            if depth < last:
                skips.append(z)
                spatial = depth < self.config.spatial_poolings
                weight = pooling_weight(masks[-1], spatial)
                z = engine.pool(z, weight, self.levels[depth], self.levels[depth + 1])
                masks.append(pool_mask(masks[-1]) if spatial else masks[-1])
        for depth, stage in zip(range(last - 1, -1, -1), self.up, strict=True):
            sources, mask = [z, skips.pop()], masks[depth]
            if depth == 0 and window is not None:
                sources, mask = self._within(window, sources, mask)
            sources[0] = engine.lift(sources[0], self.levels[depth + 1], self.levels[depth])
            z = _run(stage, sources, mask, engine, depth == 0, self.recompute)
        return z

    def _within(self, window: Window, sources: list[Tensor], mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what enters the last stage, cut to the window; the first source may have half the grid."""
        step = 2 if self.config.spatial_poolings else 1
        if any(part.start % step or part.stop % step for part in window):
            raise ValueError(f"window {window}: its borders must be multiples of {step}")
        along_x, along_y, along_z = (slice(part.start // step, part.stop // step) for part in window)
        below, skip = sources
        return [cut(below, (along_x, along_y, along_z)), cut(skip, window)], cut(mask, window)


def cut(x: Float[Tensor, "*rows x y z channel"], window: Window) -> Float[Tensor, "*rows x2 y2 z2 channel"]:
    """Return the voxels of the window."""
    along_x, along_y, along_z = window
    return x[..., along_x, along_y, along_z, :]


def _stage(level: Level, channels_in: int, channels_out: int, config: ModelConfig) -> nn.ModuleList:
    sizes = [channels_in] + [channels_out] * config.convolutions
    return nn.ModuleList(ConvolutionBlock(level, into, out, config) for into, out in pairwise(sizes))


def _run(
    stage: nn.Module, sources: list[Tensor], mask: Tensor, engine: Engine, leave: bool, recompute: bool
) -> Tensor:
    """Return a stage's activations; only the last stage leaves the engine's representation. Empties `sources`."""
    assert isinstance(stage, nn.ModuleList)
    for place, block in enumerate(stage):
        assert isinstance(block, ConvolutionBlock)
        leaves = leave and place == len(stage) - 1
        if recompute and torch.is_grad_enabled():
            sources = [recomputed(block, sources, mask, engine, leaves)]
        else:
            sources.append(block(sources, mask, engine, leaves))
    return sources.pop()
