"""The whole network: spherical features of a scan in, tissue amounts out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.models.config import ModelConfig
from shd.models.heads import EquivariantHead, InvariantHead
from shd.models.unet import UNet, Window, cut

__all__ = ["Deconvolver", "TissueFractions"]


@dataclass(frozen=True, eq=False)
class TissueFractions:
    """What part of the b=0 signal comes from where.

    wm: per vertex, its mean over vertices is the white-matter part of the signal; a fibre population sits at the
    vertices of its directions. isotropic: the parts of the other tissues, in the order of `ModelConfig.tissues[1:]`.
    """

    wm: Float[Tensor, "vertex batch x y z"]
    isotropic: Float[Tensor, "batch x y z tissue"]

    def of(self, places: tuple[int, ...]) -> "TissueFractions":
        """Return the isotropic tissues at these places alone: those that a scan has of the network's."""
        if places == tuple(range(self.isotropic.shape[-1])):
            return self
        return TissueFractions(self.wm, self.isotropic[..., list(places)])


class Deconvolver(nn.Module):
    """U-Net with heads that correct an estimate; nothing holds the parts of the signal to a sum of one.

    Such a hold would be exact for simulated tissues alone: real ones differ in proton density and relaxation from the
    voxels that responses come from. The b=0 volumes are data as the others are.
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
        self,
        features: Float[Tensor, "vertex batch x y z channel"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> TissueFractions:
        """Return the signal fractions, zero outside the mask; with `window` (see `UNet`) those of its voxels alone.

        features: as `shd.scans.features` and `shd.scans.fibre_features` order them: the estimates of the voxel alone
        first, then the coherent ones, which are corrected.
        """
        return self.consume([features], mask, window)

    def consume(
        self, given: list[Tensor], mask: Float[Tensor, "batch x y z 1"], window: Window | None = None
    ) -> TissueFractions:
        """Return what `forward` does of the features that `given` holds; empties it.

        So whoever holds the features nowhere else gives their memory to what follows.
        """
        features, tissues = given.pop(), len(self.config.tissues)
        wanted = features if window is None else cut(features, window)
        estimate, amounts = wanted[..., tissues].contiguous(), wanted[..., tissues + 1 : 2 * tissues].mean(0)
        inside = mask if window is None else cut(mask, window)
        x = torch.log1p(features)  # of all channels: of a part, which lies scattered, it takes three times as long
        x[..., 2 * tissues :] = features[..., 2 * tissues :]
        del features, wanted
        masked = [x.mul_(mask.to(x.dtype))]
        del x
        x = self.trunk(masked, mask, window)
        wm = self.wm(x, estimate) * inside.squeeze(-1)
        isotropic = amounts if self.isotropic is None else self.isotropic(x, amounts)
        return TissueFractions(wm, isotropic * inside)

    def trunk(
        self, given: list[Tensor], mask: Float[Tensor, "batch x y z 1"], window: Window | None
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return what the heads see of the field that `given` holds, which is zero outside the mask; empties it."""
        return self.unet.consume(given, mask, window)
