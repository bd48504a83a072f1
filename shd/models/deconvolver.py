"""The whole network: spherical features of a scan in, tissue amounts out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.models.config import ModelConfig
from shd.models.heads import EquivariantHead, InvariantHead
from shd.models.unet import UNet

__all__ = ["Deconvolver", "TissueFractions"]


@dataclass(frozen=True, eq=False)
class TissueFractions:
    """What part of the b=0 signal comes from where.

    wm: per vertex, its mean over vertices is the white-matter part of the signal; a fibre population sits at the vertices
    of its directions. isotropic: the parts of the other tissues, in the order of `ModelConfig.tissues[1:]`.
    """

    wm: Float[Tensor, "vertex batch x y z"]
    isotropic: Float[Tensor, "batch x y z tissue"]


class Deconvolver(nn.Module):
    """U-Net with heads; with isotropic tissues the parts of the signal sum to one in every voxel.

    That is the b=0 normalisation: the modelled b=0 signal equals the measured one. With white matter alone the amount is
    free, because a lone response cannot explain grey matter or fluid.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config)
        self.wm = EquivariantHead(self.unet.output_channels)
        self.isotropic = (
            InvariantHead(self.unet.output_channels, len(config.tissues) - 1) if len(config.tissues) > 1 else None
        )

    def forward(
        self, features: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"]
    ) -> TissueFractions:
        """Return the signal fractions, zero outside the mask.

        features: as `shd.scans.features.feature_matrix` orders them, the linear estimate of every tissue first.
        """
        x = self.unet(features, mask)
        tissues = len(self.config.tissues)
        wm, inside = self.wm(x, features[..., 0]), mask.squeeze(-1)
        if self.isotropic is None:
            return TissueFractions(wm * inside.to(wm), inside.new_zeros((*inside.shape, 0)).to(wm))
        isotropic = self.isotropic(x, features[..., 1:tissues].mean(0))
        total = wm.mean(0) + isotropic.sum(-1)
        share = inside.to(wm) / torch.clamp(total, min=1e-12)
        return TissueFractions(wm * share, isotropic * share[..., None])
