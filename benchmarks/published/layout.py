"""Order of axes: shd's (vertex, batch, x, y, z, channel) and the published (batch, vertex, channel, x, y, z)."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["from_published", "to_published"]


def to_published(x: Float[Tensor, "vertex batch x y z channel"]) -> Float[Tensor, "batch vertex channel x y z"]:
    """Return the same field in the published order, contiguous."""
    return x.permute(1, 0, 5, 2, 3, 4).contiguous()


def from_published(x: Float[Tensor, "batch vertex channel x y z"]) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return the same field in shd's order, contiguous."""
    return x.permute(1, 0, 3, 4, 5, 2).contiguous()
