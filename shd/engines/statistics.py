"""Sums over an engine's representation that a normalisation needs."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from shd.engines import fused

__all__ = ["Statistics", "measured"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over the vertices of one level; `vertices` says how many those are.

    voxel_power: Σ z² over vertices and channels. channel_power, channel_total: Σ z² and Σ z over vertices and the
    voxels inside the mask; None where they were not asked for.
    """

    vertices: int
    voxel_power: Float[Tensor, "batch x y z"]
    channel_power: Float[Tensor, " channel"] | None
    channel_total: Float[Tensor, " channel"] | None


def measured(
    z: Float[Tensor, "row batch x y z channel"],
    modes: Float[Tensor, " row"],
    mask: Float[Tensor, "batch x y z 1"],
    vertices: int,
    channels: bool,
) -> Statistics:
    """Return the statistics of a representation, whose rows belong to orthonormal functions on the vertices.

    modes: the functions' sums over the vertices. Sums of squares are the same in every orthonormal basis (Parseval).
    The sums are in single precision at least.
    """
    power, total = _column_sums(z, modes, channels)
    if total is None:
        return Statistics(vertices, power.sum(-1), None, None)
    inside, grid = mask.to(power.dtype), (0, 1, 2, 3)
    return Statistics(vertices, power.sum(-1), (power * inside).sum(grid), (total * inside).sum(grid))


def _column_sums(z: Tensor, modes: Tensor, totals: bool) -> tuple[Tensor, Tensor | None]:
    """Return Σ z² and, if asked for, Σ mode·z over the rows."""
    if fused.fusible(z):
        power, total = fused.column_sums(z, modes)
        return power, total if totals else None
    wide = torch.promote_types(z.dtype, torch.float32)
    power = z.to(wide).square().sum(0)
    return power, torch.tensordot(modes.to(wide), z.to(wide), dims=([0], [0])) if totals else None
