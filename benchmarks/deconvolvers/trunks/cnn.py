"""A plain 3-D CNN: the values on the vertices are channels, mixed by kernels that know nothing of directions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.deconvolvers.trunks.lattice_unet import LatticeUNet
from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig
from shd.models.unet import Window, cut

__all__ = ["CNN"]

_WIDTH = 64


class VolumeConvolution(nn.Conv3d):
    """conv3d over the voxels of fields with one vertex, 3×3×3, zeros beyond the volume."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "batch channel_in 1 x y z"]) -> Float[Tensor, "batch channel_out 1 x y z"]:
        """Return the convolved field."""
        return super().forward(x.squeeze(2)).unsqueeze(2)


class CNN(nn.Module):
    """All channels of all vertices → 64 channels a voxel → U-Net of conv3d, 64 and 128 wide → channels on the vertices.

    The U-Net has as many levels as our network's poolings of the voxel grid make.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.output_channels, self.engine, self.recompute = config.width, "auto", False
        self.vertices = vertex_count(config.nside, config.hemisphere)
        self.enter = nn.Linear(self.vertices * config.input_channels, _WIDTH)
        widths = [_WIDTH << depth for depth in range(config.spatial_poolings + 1)]
        self.unet = LatticeUNet(_WIDTH, widths, lambda _, a, b: VolumeConvolution(a, b), config.spatial_poolings, 1)
        self.leave = nn.Linear(_WIDTH, self.vertices * config.width)

    def forward(
        self,
        x: Float[Tensor, "vertex batch x y z channel_in"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return the features, zero outside the mask, of the window's voxels where one is given."""
        columns = self.enter(x.movedim(0, -1).flatten(-2))
        inside = mask.movedim(-1, 1).unsqueeze(1).to(columns)
        columns = self.unet(columns.movedim(-1, 1).unsqueeze(2), inside).squeeze(2).movedim(1, -1)
        if window is not None:
            columns, mask = cut(columns, window), cut(mask, window)
        answers = torch.relu(self.leave(columns)) * mask.to(columns)
        return answers.unflatten(-1, (self.vertices, self.output_channels)).movedim(-2, 0).contiguous()
