"""From features to tissues: one equivariant head, and one invariant head for all tissues without direction."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["EquivariantHead", "InvariantHead"]


class EquivariantHead(nn.Module):
    """A non-negative function on the sphere from features on the sphere: pointwise linear map and softplus."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)

    def forward(self, x: Float[Tensor, "vertex *grid channel"]) -> Float[Tensor, "vertex *grid"]:
        """Return one value a vertex; rotating the features over the sphere rotates it."""
        return F.softplus(self.linear(x).squeeze(-1).float() if x.dtype.itemsize < 4 else self.linear(x).squeeze(-1))


class InvariantHead(nn.Module):
    """Non-negative amounts of the isotropic tissues: mean over the sphere, linear map, softplus.

    The mean, not the maximum: a maximum over the sphere is biased upwards by noise.
    """

    def __init__(self, channels: int, tissues: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, tissues)

    def forward(self, x: Float[Tensor, "vertex *grid channel"]) -> Float[Tensor, "*grid tissue"]:
        """Return one value a tissue; rotating the features over the sphere leaves it unchanged."""
        mean = x.mean(0)
        return F.softplus(self.linear(mean).float() if mean.dtype.itemsize < 4 else self.linear(mean))
