"""The published U-Net, of published convolutions, wired as `shd.models.unet.UNet` is with every voxel in the mask.

Its parts are torch's: conv3d, BatchNorm3d, ReLU, average pooling, nearest-neighbour upsampling, concatenation.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.published.rt_esd import RecurrentConvolution
from benchmarks.published.shd_published import IsotropicKernel, PublishedConvolution
from shd.graphs.hierarchy import Level, sphere_hierarchy
from shd.models.config import ModelConfig
from shd.models.unet import UNet

__all__ = ["PublishedUNet", "copy_weights"]


class PublishedBlock(nn.Module):
    """Convolution, batch norm over batch, vertices and voxels, ReLU."""

    def __init__(self, convolution: IsotropicKernel, channels: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.normalisation = nn.BatchNorm3d(channels)

    def forward(
        self, x: Float[Tensor, "batch vertex channel_in x y z"]
    ) -> Float[Tensor, "batch vertex channel_out x y z"]:
        """Return the activations."""
        y = self.convolution(x)
        return torch.relu(self.normalisation(y.flatten(0, 1))).reshape(y.shape)


class PublishedUNet(nn.Module):
    """SHD's U-Net with `config.hemisphere` (dense polynomials), else RT-ESD's (sparse recurrence)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        levels = sphere_hierarchy(config.nside, config.levels, config.hemisphere).levels
        widths = [config.width << depth for depth in range(config.levels)]
        inputs = [config.input_channels, *widths]
        self.down = nn.ModuleList(self._stage(*part) for part in zip(levels, inputs, widths, strict=False))
        rising = zip(levels[-2::-1], widths[:0:-1], widths[-2::-1], strict=True)
        self.up = nn.ModuleList(self._stage(level, below + width, width) for level, below, width in rising)

    def _stage(self, level: Level, channels_in: int, channels_out: int) -> nn.Sequential:
        convolution = PublishedConvolution if self.config.hemisphere else RecurrentConvolution
        sizes = [channels_in] + [channels_out] * self.config.convolutions
        return nn.Sequential(
            *(
                PublishedBlock(convolution(level, into, out, self.config.order, self.config.kernel), out)
                for into, out in pairwise(sizes)
            )
        )

    def forward(
        self, x: Float[Tensor, "batch vertex channel_in x y z"]
    ) -> Float[Tensor, "batch vertex channel_out x y z"]:
        """Return features at the finest level."""
        skips = []
        for depth, stage in enumerate(self.down):
            x = stage(x)
            if depth < len(self.up):
                skips.append(x)
                x = x.unflatten(1, (-1, 4)).mean(2)
                if depth < self.config.spatial_poolings:
                    x = nn.functional.avg_pool3d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])
        for depth, stage in zip(range(len(self.up) - 1, -1, -1), self.up, strict=True):
            if depth < self.config.spatial_poolings:
                wide = nn.functional.interpolate(x.flatten(0, 1), scale_factor=2, mode="nearest")
                x = wide.unflatten(0, x.shape[:2])
            x = stage(torch.cat([x.repeat_interleave(4, dim=1), skips.pop()], dim=2))
        return x


def copy_weights(ours: UNet, theirs: PublishedUNet) -> None:
    """Give the published U-Net the weights and running statistics of one with the same `ModelConfig`.

    Its normalisation must be "batch". Then both compute the same function where every voxel is in the mask.
    """
    renamed = {name.replace("running_variance", "running_var"): value for name, value in ours.state_dict().items()}
    missing, unexpected = theirs.load_state_dict(renamed, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise ValueError(f"the networks differ: {missing} are missing, {unexpected} are too many")
