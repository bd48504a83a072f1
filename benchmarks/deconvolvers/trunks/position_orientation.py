"""A U-Net of PONITA's separable convolutions over positions and orientations (Bekkers et al., ICLR 2024)."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.deconvolvers.trunks.lattice_unet import LatticeUNet
from benchmarks.published.ponita import PonitaConvolution
from shd.graphs.hemisphere import vertex_directions
from shd.models.config import ModelConfig
from shd.models.unet import Window, cut

__all__ = ["PositionOrientation"]


_SCALE = 0.01  # of the convolution at the start


class ResidualConvolution(nn.Module):
    """PONITA's convolution, times a small learnt scale, beside a path around it, as in its ConvNeXt blocks.

    The path is linear, since channels change. Without it nothing is learnt: a kernel over orientations begins smooth,
    and two in a row leave no direction. The kernels begin at unit size, to which PONITA calibrates its own: the sum of
    squares over the neighbourhood is one a channel, and the mean square over orientations.
    """

    def __init__(self, axes: Float[np.ndarray, "vertex 3"], channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = PonitaConvolution(axes, channels_in, channels_out)
        self.around = nn.Linear(channels_in, channels_out, bias=False)
        self.scale = nn.Parameter(torch.full((channels_out, 1, 1, 1, 1), _SCALE))
        with torch.no_grad():
            near, turned = self.convolution.spatial(), self.convolution.orientational()
            near_size = near.square().sum(dim=(2, 3, 4)).mean(1).sqrt()
            turned_size = turned.square().mean(dim=(1, 2)).sqrt()
            for network, size in ((self.convolution.spatial, near_size), (self.convolution.orientational, turned_size)):
                network.network[-1].weight /= size[:, None]

    def forward(
        self, x: Float[Tensor, "batch channel_in vertex x y z"]
    ) -> Float[Tensor, "batch channel_out vertex x y z"]:
        """Return the scaled convolution of the field plus a linear map of the field."""
        beside = self.around.weight @ x.flatten(2)
        return self.scale * self.convolution(x) + beside.unflatten(2, x.shape[2:])


class PositionOrientation(nn.Module):
    """The U-Net of our network with PONITA's convolution in place of ours: same levels, widths and poolings.

    rotation: M with v_scanner = M·v_voxel. The kernel compares orientations with steps from voxel to voxel, so both
    must be in one frame; ours never compares them.
    """

    def __init__(self, config: ModelConfig, rotation: Float[np.ndarray, "3 3"]) -> None:
        super().__init__()
        self.output_channels, self.engine, self.recompute = config.width, "auto", False
        widths = [config.width << depth for depth in range(config.levels)]

        def convolution(depth: int, channels_in: int, channels_out: int) -> nn.Module:
            axes = vertex_directions(config.nside >> depth, config.hemisphere) @ rotation
            return ResidualConvolution(axes, channels_in, channels_out)

        self.network = LatticeUNet(config.input_channels, widths, convolution, config.spatial_poolings, 4)

    def forward(
        self,
        x: Float[Tensor, "vertex batch x y z channel_in"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return the features, zero outside the mask, of the window's voxels where one is given."""
        inside = mask.movedim(-1, 1).unsqueeze(1).to(x)
        found = self.network(x.permute(1, 5, 0, 2, 3, 4), inside).permute(2, 0, 3, 4, 5, 1)
        return (found if window is None else cut(found, window)).contiguous()
