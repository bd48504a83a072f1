"""Normalisation of features that respects the mask and the symmetries: one number a channel, or one a voxel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["MaskedBatchNorm", "NoNorm", "VoxelNorm", "make_normalisation"]


class MaskedBatchNorm(nn.Module):
    """Batch norm per channel over vertices and the voxels inside the mask (Ioffe and Szegedy 2015).

    Voxels outside the mask are zero by definition: counting them would tie the statistics to the mask's shape.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(
        self, x: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"]
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return the normalised features; outside the mask their values are meaningless (the caller zeroes them)."""
        if self.training:
            mean, variance = self._statistics(x, mask)
        else:
            mean, variance = self.running_mean, self.running_variance
        scale = self.weight * torch.rsqrt(variance + self.epsilon)
        return torch.addcmul((self.bias - mean * scale).to(x.dtype), x, scale.to(x.dtype))

    def _statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        weights = mask.reshape(-1).float()
        count = weights.sum().clamp(min=1) * x.shape[0]
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        wide = torch.promote_types(x.dtype, torch.float32)
        mean = (weights.to(wide) @ flat.sum(0, dtype=wide)) / count
        square = (weights.to(wide) @ flat.square().sum(0, dtype=wide)) / count
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_variance.lerp_(variance.to(self.running_variance), self.momentum)
        return mean, variance


class VoxelNorm(nn.Module):
    """Scale each voxel's features to unit mean square over vertices and channels: independent of every other voxel."""

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"]
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return the normalised features; `mask` has no influence."""
        wide = torch.promote_types(x.dtype, torch.float32)
        power = x.to(wide).square().mean(dim=(0, -1), keepdim=True)
        scaled = x * torch.rsqrt(power + self.epsilon).to(x.dtype)
        return torch.addcmul(self.bias.to(x.dtype), scaled, self.weight.to(x.dtype))


class NoNorm(nn.Module):
    """Scale and shift each channel by learnt numbers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "vertex batch x y z channel"], mask: Float[Tensor, "batch x y z 1"]
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return weight·x + bias; `mask` has no influence."""
        return torch.addcmul(self.bias.to(x.dtype), x, self.weight.to(x.dtype))


def make_normalisation(name: str, channels: int) -> nn.Module:
    """Return the module that `ModelConfig.normalisation` names."""
    return {"batch": MaskedBatchNorm, "voxel": VoxelNorm, "none": NoNorm}[name](channels)
