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
        return self.consume([x * mask.to(x.dtype)], mask, window)

    def consume(
        self, given: list[Tensor], mask: Float[Tensor, "batch x y z 1"], window: Window | None = None
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return what `forward` does of the field that `given` holds, zero outside the mask; empties it.

        Without gradients at most two fields of the finest level are held at a time, beside the skip of the window.
        """
        if any(side % self.config.spatial_factor for side in mask.shape[1:4]):
            grid, factor = "×".join(map(str, mask.shape[1:4])), self.config.spatial_factor
            raise ValueError(f"a grid of {grid} voxels, but pooling needs multiples of {factor}; pad it with zeros")
        self._check(window)
        engine = choose_engine(self.engine, given[0], len(distance_classes(self.config.kernel)))
        last = len(self.down) - 1
        if last == 0 and window is not None:  # the only stage is the last
            given, mask = [cut(given.pop(), window)], cut(mask, window)
        sources = [engine.enter(given.pop(), self.levels[0])]
        skips, masks = [], [mask]
        for depth, stage in enumerate(self.down):
            z = _run(stage, sources, masks[-1], engine, last == 0, self.recompute)
            if depth == last:
                break
            spatial = depth < self.config.spatial_poolings
            weight = pooling_weight(masks[-1], spatial)
            sources = [engine.pool(z, weight, self.levels[depth], self.levels[depth + 1])]
            skips.append(z if depth or window is None else cut(z, window).contiguous())
            masks.append(pool_mask(masks[-1]) if spatial else masks[-1])
            del z
        for depth, stage in zip(range(last - 1, -1, -1), self.up, strict=True):
            mask = masks[depth]
            if depth == 0 and window is not None:
                z, mask = cut(z, self._below(window)), cut(mask, window)
            z = engine.lift(z, self.levels[depth + 1], self.levels[depth])
            sources = [z, skips.pop()]
            del z
            z = _run(stage, sources, mask, engine, depth == 0, self.recompute)
        return z

    def _check(self, window: Window | None) -> None:
        """Raise ValueError for a window that divides what is pooled together."""
        step = 2 if self.config.spatial_poolings else 1
        if window is not None and any(part.start % step or part.stop % step for part in window):
            raise ValueError(f"window {window}: its borders must be multiples of {step}")

    def _below(self, window: Window) -> Window:
        """Return the window on the grid of the second level."""
        step = 2 if self.config.spatial_poolings else 1
        along_x, along_y, along_z = (slice(part.start // step, part.stop // step) for part in window)
        return along_x, along_y, along_z


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
