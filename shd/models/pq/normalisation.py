"""Batch norm of fields: by their norms, so that it turns with them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.models.pq.fields import FieldType

__all__ = ["FieldBatchNorm"]


class FieldBatchNorm(nn.Module):
    """Batch norm per channel over batch, q-space samples and voxels.

    Scalars lose their mean and are divided by their standard deviation. A tensor of higher order has no invariant mean:
    it is divided by its root mean square norm over √(2l + 1). Each channel then gets a learnt factor, each scalar a
    learnt offset. Running statistics serve in evaluation.
    """

    running_mean: Tensor
    running_power: Tensor

    def __init__(self, channels: FieldType, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.type_in = self.type_out = channels
        self.momentum, self.epsilon = momentum, epsilon
        count = channels.scalars + channels.tensors
        self.weight = nn.Parameter(torch.ones(count))
        self.bias = nn.Parameter(torch.zeros(channels.scalars))
        self.register_buffer("running_mean", torch.zeros(channels.scalars))
        self.register_buffer("running_power", torch.ones(count))

    def forward(self, x: Float[Tensor, "batch q component x y z"]) -> Float[Tensor, "batch q component x y z"]:
        """Return the normalised field."""
        mean, power = self._moments(x) if self.training else (self.running_mean, self.running_power)
        scale = self.weight * torch.rsqrt(power + self.epsilon)
        scalars = self.type_in.scalars
        shift = self.bias - mean * scale[:scalars]
        counts = torch.tensor(self.type_in.component_counts(), device=x.device)
        factor = scale.repeat_interleave(counts, output_size=self.type_in.dimension)
        shift = torch.cat([shift, shift.new_zeros(self.type_in.dimension - scalars)])
        return torch.addcmul(shift.reshape(-1, 1, 1, 1), x, factor.reshape(-1, 1, 1, 1))

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scalars' means and every channel's variance, and let the running ones follow."""
        scalars = self.type_in.scalars
        variance, mean = torch.var_mean(x[:, :, :scalars], dim=(0, 1, 3, 4, 5), correction=0)
        squares = x[:, :, scalars:].square().mean(dim=(0, 1, 3, 4, 5))
        powers = [part.mean() for part in squares.split(self.type_in.component_counts()[scalars:])]
        power = torch.cat([variance, torch.stack(powers)]) if powers else variance
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_power.lerp_(power.to(self.running_power), self.momentum)
        return mean, power
