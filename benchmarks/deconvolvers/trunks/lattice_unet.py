"""A U-Net over voxels whose convolution is given; masked as ours is, so that every border is the same kind of border.

Tensors are (batch, channel, vertex, x, y, z). A network without directions has one vertex.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LatticeBlock", "LatticeUNet", "VoxelScaling"]

MakeConvolution = Callable[[int, int, int], nn.Module]
"""From depth, channels in and channels out to a module that keeps every axis but the channels."""


class VoxelScaling(nn.Module):
    """As `shd.models.normalisation.VoxelNorm`: unit mean square of a voxel, then a factor and an offset a channel."""

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1, 1, 1))
        self.epsilon = epsilon

    def forward(self, x: Float[Tensor, "batch channel vertex x y z"]) -> Float[Tensor, "batch channel vertex x y z"]:
        """Return the scaled field."""
        power = x.square().mean(dim=(1, 2), keepdim=True)
        return x * torch.rsqrt(power + self.epsilon) * self.weight + self.bias


class LatticeBlock(nn.Module):
    """Convolution, normalisation, ReLU; zero outside the mask."""

    def __init__(self, convolution: nn.Module, channels: int) -> None:
        super().__init__()
        self.convolution, self.normalisation = convolution, VoxelScaling(channels)

    def forward(
        self, x: Float[Tensor, "batch channel_in vertex x y z"], mask: Float[Tensor, "batch 1 1 x y z"]
    ) -> Float[Tensor, "batch channel_out vertex x y z"]:
        """Return the activations."""
        return torch.relu(self.normalisation(self.convolution(x))) * mask


class LatticeUNet(nn.Module):
    """Down through `widths` and up again with skips, two blocks a stage, wired as `UNet` is.

    convolution: makes each convolution. spatial_poolings: how many of the poolings halve the voxel grid, by the mean
    over the masked voxels of 2×2×2. siblings: vertices that a pooling averages into one (4 on HEALPix's nested grid).
    """

    def __init__(
        self,
        channels_in: int,
        widths: Sequence[int],
        convolution: MakeConvolution,
        spatial_poolings: int,
        siblings: int,
    ) -> None:
        super().__init__()
        self.spatial_poolings, self.siblings = spatial_poolings, siblings
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels = channels_in
        for depth, width in enumerate(widths):
            self.down.append(_stage(convolution, depth, channels, width))
            channels = width
        for depth in range(len(widths) - 2, -1, -1):
            self.up.append(_stage(convolution, depth, channels + widths[depth], widths[depth]))
            channels = widths[depth]

    def forward(
        self, x: Float[Tensor, "batch channel_in vertex x y z"], mask: Float[Tensor, "batch 1 1 x y z"]
    ) -> Float[Tensor, "batch channel_out vertex x y z"]:
        """Return features at the finest level, zero outside the mask."""
        x = x * mask
        masks, skips = [mask], []
        for depth, stage in enumerate(self.down):
            x = _run(stage, x, masks[-1])
            if depth < len(self.up):
                skips.append(x)
                x, pooled = self._pool(x, masks[-1], depth)
                masks.append(pooled)
        for depth, stage in zip(range(len(self.up) - 1, -1, -1), self.up, strict=True):
            x = x.repeat_interleave(self.siblings, dim=2)
            if depth < self.spatial_poolings:
                for axis in (3, 4, 5):
                    x = x.repeat_interleave(2, dim=axis)
            x = _run(stage, torch.cat([x, skips.pop()], dim=1), masks[depth])
        return x

    def _pool(self, x: Tensor, mask: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        x = x.unflatten(2, (-1, self.siblings)).mean(3)
        if depth >= self.spatial_poolings:
            return x, mask
        count = _blocks(mask).sum(dim=(4, 6, 8))
        return _blocks(x).sum(dim=(4, 6, 8)) / count.clamp(min=1), (count > 0).to(mask)


def _blocks(x: Tensor) -> Tensor:
    """Return (batch, channel, vertex, x/2, 2, y/2, 2, z/2, 2)."""
    return x.unflatten(5, (-1, 2)).unflatten(4, (-1, 2)).unflatten(3, (-1, 2))


def _stage(convolution: MakeConvolution, depth: int, channels_in: int, channels_out: int) -> nn.ModuleList:
    sizes = [channels_in, channels_out, channels_out]
    return nn.ModuleList(LatticeBlock(convolution(depth, into, out), out) for into, out in pairwise(sizes))


def _run(stage: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    assert isinstance(stage, nn.ModuleList)
    for block in stage:
        x = block(x, mask)
    return x
