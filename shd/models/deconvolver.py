"""The whole network: spherical features of a scan in, tissue amounts out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.models.config import ModelConfig
from shd.models.heads import EquivariantHead, InvariantHead, InvariantLinear
from shd.models.unet import UNet, Window, cut

__all__ = ["Deconvolver", "TissueFractions"]

_LARGEST_LOG = 10.0  # e^10 of an even share on one vertex is no fODF: keeps an early training step finite

_LEAST_AMOUNT = 1e-3  # of white matter, below which a neighbourhood has no directions to lend


@dataclass(frozen=True, eq=False)
class TissueFractions:
    """What part of the b=0 signal comes from where.

    wm: per vertex, its mean over vertices is the white-matter part of the signal; a fibre population sits at the
    vertices of its directions. isotropic: the parts of the other tissues, in the order of `ModelConfig.tissues[1:]`.
    """

    wm: Float[Tensor, "vertex batch x y z"]
    isotropic: Float[Tensor, "batch x y z tissue"]


class Deconvolver(nn.Module):
    """U-Net with heads; with isotropic tissues the parts of the signal sum to one in every voxel.

    That is the b=0 normalisation: the modelled b=0 signal equals the measured one. With white matter alone the amount
    is free, because a lone response cannot explain grey matter or fluid.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config)
        self.smoothing = InvariantLinear(self.unet.output_channels, 1)
        self.wm = EquivariantHead(self.unet.output_channels)
        self.isotropic = (
            InvariantHead(self.unet.output_channels, len(config.tissues) - 1) if len(config.tissues) > 1 else None
        )

    def forward(
        self,
        features: Float[Tensor, "vertex batch x y z channel"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> TissueFractions:
        """Return the signal fractions, zero outside the mask; with `window` (see `UNet`) those of its voxels alone.

        features: as `shd.scans.features.SphericalFeatures` orders them, the estimates of the voxel and of its
        neighbourhood first. What is refined lies between the two, by a share learnt voxel by voxel.
        """
        tissues = len(self.config.tissues)
        wanted = features if window is None else cut(features, window)
        alone, together, given = wanted[..., 0].contiguous(), wanted[..., tissues].contiguous(), wanted.mean(0)
        inside = (mask if window is None else cut(mask, window)).squeeze(-1)
        x = torch.log1p(features)  # of all channels: of a part, which lies scattered, it takes three times as long
        x[..., 2 * tissues :] = features[..., 2 * tissues :]
        del features, wanted  # what is needed of them is kept; the rest gives room
        x = self.unet(x, mask, window)
        average = x.mean(0)
        # neighbours lend their directions, not their amount of white matter: borders between tissues stay sharp
        together = together * (given[..., 0] / given[..., tissues].clamp(min=_LEAST_AMOUNT))
        share = torch.sigmoid(self.smoothing(average)).squeeze(-1)
        wm = self.wm(x, torch.lerp(alone, together, share))
        if self.isotropic is None:
            outside = inside.new_zeros((*inside.shape, 0))
            return TissueFractions(wm.clamp(max=_LARGEST_LOG).exp() * inside.to(wm), outside.to(wm))
        isotropic = self.isotropic.correct(average, given[..., 1:tissues])
        # softmax over everything in the voxel; a vertex stands for 1/V of the white matter
        largest = torch.maximum(wm.detach().amax(0), isotropic.detach().amax(-1))
        wm, isotropic = (wm - largest).exp(), (isotropic - largest.unsqueeze(-1)).exp()
        scale = inside.to(wm) / (wm.mean(0) + isotropic.sum(-1))
        return TissueFractions(wm * scale, isotropic * scale.unsqueeze(-1))
