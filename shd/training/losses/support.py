"""Neighbouring voxels bear each other out: the terms of the coherent estimate, on the network's own answer."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["beside", "structured_sparsity", "unlikeness"]


def beside(field: Float[Tensor, "vertex batch x y z"], mask: Float[Tensor, "batch x y z"]) -> Tensor:
    """Return the mean over the six neighbours; where one is outside the mask or the tile the voxel stands for it.

    The same as `shd.scans.neighbourhood`, on tiles.
    """
    total = torch.zeros_like(field)
    for axis in (1, 2, 3):
        length = mask.shape[axis] - 1
        both = mask.narrow(axis, 0, length) * mask.narrow(axis, 1, length)
        step = (field.narrow(axis + 1, 1, length) - field.narrow(axis + 1, 0, length)) * both
        total.narrow(axis + 1, 0, length).add_(step)
        total.narrow(axis + 1, 1, length).sub_(step)
    return field + total / 6


def unlikeness(state: Float[Tensor, "vertex voxel"], around: Float[Tensor, "vertex voxel"]) -> Float[Tensor, ""]:
    """Return ½⟨m, m − N m⟩, summed over vertices, a mean over voxels."""
    return 0.5 * (state * (state - around)).sum(0).mean()


def structured_sparsity(
    state: Float[Tensor, "vertex voxel"],
    around: Float[Tensor, "vertex voxel"],
    spread: Float[Tensor, "vertex vertex"],
    support: float,
) -> Float[Tensor, ""]:
    """Return Σ_u ε·m(u)/(p(u) + ε), a mean over voxels; p, the neighbours' mean spread over directions, is held fixed.

    Held fixed, since a voxel should not grow what it wants its neighbours to believe: an iteration of reweighting, as
    in `shd.scans.coherent_estimate`. support: ε.
    """
    with torch.no_grad():
        cost = support / (spread @ around + support)
    return (state * cost).sum(0).mean()
