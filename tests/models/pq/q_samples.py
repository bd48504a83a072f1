"""Sets of q-space samples for tests."""

import torch


def shell(count, unweighted=0, seed=0, length=1.0):
    """Return b=0 samples and then `count` random directions of one length."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, 3, dtype=torch.float64, generator=generator)
    directions *= length / directions.norm(dim=1, keepdim=True)
    return torch.cat([torch.zeros(unweighted, 3, dtype=torch.float64), directions])


def cube():
    """Return b=0 and the six directions of the axes, as the published example has them."""
    axes = torch.eye(3, dtype=torch.float64)
    return torch.cat([torch.zeros(1, 3, dtype=torch.float64), axes, -axes])
