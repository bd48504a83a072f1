"""Normalisation of features that respects the mask and the symmetries: one number a channel, or one a voxel.

A normalisation sees sums over the sphere and answers with what to multiply and what to add, a number a voxel and
channel: the engine applies them where the features are written anyway. Both are zero outside the mask.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.engines.statistics import Statistics

__all__ = ["MaskedBatchNorm", "NoNorm", "Normalisation", "VoxelNorm", "make_normalisation"]

Mask = Float[Tensor, "batch x y z 1"]
Columns = Float[Tensor, "batch x y z channel"]


class Normalisation(nn.Module):
    """A learnt factor and offset a channel. statistics: which sums `forward` needs in training and in evaluation."""

    statistics: ClassVar[dict[bool, str | None]] = {True: None, False: None}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def needs(self) -> str | None:
        """What to ask `Engine.mix` for."""
        return self.statistics[self.training]


class MaskedBatchNorm(Normalisation):
    """Batch norm per channel over vertices and the voxels inside the mask (Ioffe and Szegedy 2015).

    Voxels outside the mask are zero by definition: counting them would tie the statistics to the mask's shape.
    """

    statistics: ClassVar[dict[bool, str | None]] = {True: "channel", False: None}
    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__(channels)
        self.momentum, self.epsilon = momentum, epsilon
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, statistics: Statistics | None, mask: Mask) -> tuple[Columns, Columns]:
        """Return (scale, shift)."""
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            assert statistics is not None
            mean, variance = self._moments(statistics, mask)
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        inside = mask.to(scale.dtype)
        return inside * scale, inside * (self.bias - mean * scale)

    def _moments(self, statistics: Statistics, mask: Mask) -> tuple[Tensor, Tensor]:
        assert statistics.channel_total is not None and statistics.channel_power is not None
        count = mask.sum(dtype=statistics.channel_total.dtype).clamp(min=1) * statistics.vertices
        mean = statistics.channel_total / count
        variance = (statistics.channel_power / count - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_variance.lerp_(variance.to(self.running_variance), self.momentum)
        return mean, variance


class VoxelNorm(Normalisation):
    """Scale each voxel's features to unit mean square over vertices and channels: independent of every other voxel."""

    statistics: ClassVar[dict[bool, str | None]] = {True: "voxel", False: "voxel"}

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__(channels)
        self.epsilon = epsilon

    def forward(self, statistics: Statistics | None, mask: Mask) -> tuple[Columns, Columns]:
        """Return (scale, shift)."""
        assert statistics is not None
        power = statistics.voxel_power.unsqueeze(-1) / (statistics.vertices * len(self.weight))
        inside = mask.to(power.dtype)
        return inside * torch.rsqrt(power + self.epsilon) * self.weight, inside * self.bias


class NoNorm(Normalisation):
    """Scale and shift each channel by learnt numbers."""

    def forward(self, statistics: Statistics | None, mask: Mask) -> tuple[Columns, Columns]:
        """Return (scale, shift)."""
        inside = mask.to(self.weight.dtype)
        return inside * self.weight, inside * self.bias


def make_normalisation(name: str, channels: int) -> Normalisation:
    """Return the module that `ModelConfig.normalisation` names."""
    return {"batch": MaskedBatchNorm, "voxel": VoxelNorm, "none": NoNorm}[name](channels)
