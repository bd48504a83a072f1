"""From features to tissues: one equivariant head, and one invariant head for all tissues without direction.

Both refine a first linear estimate (`shd.scans.features.linear_deconvolution`): what a head learns is added to it before
the softplus, so that an untrained network already answers like a clipped linear deconvolution.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EquivariantHead", "InvariantHead"]

_SHARPNESS = 2.0  # softplus turns over 1/2 of an isotropic fODF: noise in the linear estimate is of that size
_SMALL_START = 0.1  # what is learnt begins small beside the linear estimate


class EquivariantHead(nn.Module):
    """A non-negative function on the sphere from features on the sphere: pointwise linear map and softplus."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)
        self.gain = nn.Parameter(torch.ones(1))
        with torch.no_grad():
            self.linear.weight.mul_(_SMALL_START)
            self.linear.bias.fill_(-1.0)

    def forward(
        self, x: Float[Tensor, "vertex *grid channel"], estimate: Float[Tensor, "vertex *grid"]
    ) -> Float[Tensor, "vertex *grid"]:
        """Return one value a vertex; rotating the features over the sphere rotates it."""
        value = self.linear(x).squeeze(-1).to(estimate.dtype)
        return F.softplus(value + self.gain * estimate, beta=_SHARPNESS)


class InvariantHead(nn.Module):
    """Non-negative amounts of the isotropic tissues: mean over the sphere, linear map, softplus.

    The mean, not the maximum: a maximum over the sphere is biased upwards by noise.
    """

    def __init__(self, channels: int, tissues: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, tissues)
        self.gain = nn.Parameter(torch.ones(tissues))
        with torch.no_grad():
            self.linear.weight.mul_(_SMALL_START)
            self.linear.bias.zero_()

    def forward(
        self, x: Float[Tensor, "vertex *grid channel"], estimate: Float[Tensor, "*grid tissue"]
    ) -> Float[Tensor, "*grid tissue"]:
        """Return one value a tissue; rotating the features over the sphere leaves it unchanged."""
        value = self.linear(x.mean(0)).to(estimate.dtype)
        return F.softplus(value + self.gain * estimate, beta=5 * _SHARPNESS)
