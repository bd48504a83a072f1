"""From features to tissues: one equivariant head, and one invariant head for all tissues without direction.

What is learnt is a correction c of an estimate m in the logarithm, m·e^c + ε·max(e^c − 1, 0). An untrained network,
c = 0, answers with the estimate itself, and a fibre can be removed, or made where the estimate has none, by a
correction of moderate size.
"""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["EquivariantHead", "InvariantHead"]

_FLOOR = 0.02  # ε: small enough to be no fibre, large enough to become one
_LARGEST_LOG = 10.0  # keeps an early training step finite


def _corrected(estimate: Float[Tensor, "*grid"], correction: Float[Tensor, "*grid"]) -> Float[Tensor, "*grid"]:
    factor = correction.to(estimate.dtype).clamp(max=_LARGEST_LOG).exp()
    # clamp: its gradient at c = 0, where training begins, is that of making a fibre; that of relu is zero
    return estimate * factor + _FLOOR * (factor - 1).clamp(min=0)


class EquivariantHead(nn.Module):
    """A non-negative function on the sphere, from features on the sphere: a pointwise linear correction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, x: Float[Tensor, "vertex *grid channel"], estimate: Float[Tensor, "vertex *grid"]
    ) -> Float[Tensor, "vertex *grid"]:
        """Return one value a vertex; rotating features and estimate over the sphere rotates it."""
        return _corrected(estimate, self.linear(x).squeeze(-1))


class InvariantHead(nn.Module):
    """Amounts of the isotropic tissues: a linear correction by the features' mean over the sphere.

    The mean, not the maximum: a maximum over the sphere is biased upwards by noise.
    """

    def __init__(self, channels: int, tissues: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, tissues)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, x: Float[Tensor, "vertex *grid channel"], estimate: Float[Tensor, "*grid tissue"]
    ) -> Float[Tensor, "*grid tissue"]:
        """Return one value a tissue; rotating the features over the sphere leaves it unchanged."""
        return _corrected(estimate, self.linear(x.mean(0)))
