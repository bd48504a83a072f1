"""From features to tissues: one equivariant head, and one invariant head for all tissues without direction.

Both correct a first estimate in the logarithm, what is learnt being added to log(estimate + floor). An untrained
network so answers with the estimate itself, and a fibre can be removed or made from nothing by a correction of
moderate size.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["EquivariantHead", "InvariantHead", "InvariantLinear"]

_FLOOR = 0.02  # of an even share: small enough to be no fibre, large enough to become one


class EquivariantHead(nn.Module):
    """Logarithm of a positive function on the sphere, from features on the sphere: a pointwise linear correction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, x: Float[Tensor, "vertex *grid channel"], estimate: Float[Tensor, "vertex *grid"]
    ) -> Float[Tensor, "vertex *grid"]:
        """Return one value a vertex; rotating features and estimate over the sphere rotates it."""
        return self.linear(x).squeeze(-1).to(estimate.dtype) + torch.log(estimate + _FLOOR)


class InvariantLinear(nn.Module):
    """A linear map of the features' mean over the sphere, zero before training; heads share that mean.

    The mean, not the maximum: a maximum over the sphere is biased upwards by noise.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, mean: Float[Tensor, "*grid channel"]) -> Float[Tensor, "*grid output"]:
        """Return values in single precision at least; rotating the features over the sphere leaves them unchanged."""
        value = self.linear(mean)
        return value.to(torch.promote_types(value.dtype, torch.float32))


class InvariantHead(InvariantLinear):
    """Logarithm of the amounts of the isotropic tissues: an invariant linear correction of their estimate."""

    def correct(
        self, mean: Float[Tensor, "*grid channel"], estimate: Float[Tensor, "*grid tissue"]
    ) -> Float[Tensor, "*grid tissue"]:
        """Return one value a tissue; rotating features over the sphere leaves it unchanged."""
        return self(mean) + torch.log(estimate + _FLOOR)
