"""Sets of q-space samples for tests."""

import torch


def shell(count, unweighted=0, seed=0, length=1.0):
    """Return b=0 samples and then `count` random directions of one length."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, 3, dtype=torch.float64, generator=generator)
    directions *= length / directions.norm(dim=1, keepdim=True)
    return torch.cat([torch.zeros(unweighted, 3, dtype=torch.float64), directions])


def cube(corners=0.6):
    """Return b=0, the directions of the axes and those of the corners: the symmetries of the cube permute them."""
    axes = torch.eye(3, dtype=torch.float64)
    sides = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return torch.cat([0.0 * axes[:1], axes, -axes, corners * torch.cartesian_prod(sides, sides, sides) / 3**0.5])


def axes():
    """Return b=0 and the six directions of the axes, as the published example has them."""
    return cube()[:7]
