"""ESD and RT-ESD: our own U-Net on the whole sphere, with kernels of one voxel or of three."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hemisphere import fold, vertex_count
from shd.models.config import ModelConfig
from shd.models.unet import UNet, Window

__all__ = ["WholeSphere", "esd", "rt_esd"]


class WholeSphere(nn.Module):
    """A U-Net on all 12n² vertices between features and heads on the half-sphere.

    The input is copied to the antipodes, so it is even, and so is the answer: half of it is returned. With equal
    weights it is the answer of the half-sphere's network (tested), for twice the work: that is SHD's point.
    """

    folded: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        whole = replace(config, hemisphere=False)
        self.network = UNet(whole)
        self.output_channels, self.engine = self.network.output_channels, "auto"
        self.vertices = vertex_count(config.nside)
        self.register_buffer("folded", torch.from_numpy(fold(config.nside)), persistent=False)

    @property
    def recompute(self) -> bool:
        """As of the network inside."""
        return self.network.recompute

    @recompute.setter
    def recompute(self, value: bool) -> None:
        self.network.recompute = value

    def forward(
        self,
        x: Float[Tensor, "vertex batch x y z channel_in"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return the features, zero outside the mask, of the window's voxels where one is given."""
        return self.network(x[self.folded], mask, window)[: self.vertices]


def esd(config: ModelConfig) -> WholeSphere:
    """Return ESD's trunk (Elaldi et al., IPMI 2021): every voxel alone."""
    return WholeSphere(replace(config, kernel=1, spatial_poolings=0))


def rt_esd(config: ModelConfig) -> WholeSphere:
    """Return RT-ESD's trunk (Elaldi, Gerig and Dey, MIDL 2023)."""
    return WholeSphere(config)
