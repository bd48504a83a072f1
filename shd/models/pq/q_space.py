"""q-space coordinates of a scan's volumes, in the voxel axes of its image."""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shd.errors import GradientError, SettingsError, number_of
from shd.signal.gradients import Gradients
from shd.sphere.rotations import grid_rotation

__all__ = ["checked_q", "length_count", "q_coordinates", "shell_lengths", "unweighted"]

# Lengths nearer than this (of the largest) count as one: b-values of 2950 and 3000 differ by 0.008.
_SAME_LENGTH = 0.05
_ZERO_LENGTH = 1e-6


def q_coordinates(gradients: Gradients, affine: Float[np.ndarray, "4 4"]) -> Float[Tensor, "q 3"]:
    """Return q ∝ √b·g of each volume, the longest of length one, in the voxel axes of the image.

    With pulses of one duration the length of q is proportional to √b. Directions in scanner axes are turned by
    M⁻¹ = Mᵀ, v_scanner = M·v_voxel (`grid_rotation`), so that p-offsets counted in voxels and q-offsets share their
    axes. b=0 volumes lie at the origin. Double precision. affine: of the image, voxels to scanner millimetres.
    """
    weighted = np.where(gradients.directions.any(axis=1), gradients.bvalues, 0.0)
    vectors = np.sqrt(weighted)[:, None] * gradients.directions @ grid_rotation(affine)
    longest = np.linalg.norm(vectors, axis=1).max()
    if longest == 0.0:
        raise GradientError(f"0 of {len(vectors)} volumes are diffusion-weighted; q-space needs at least 1")
    return torch.from_numpy(vectors / longest)


def checked_q(q: Float[Tensor, "q 3"] | None) -> Float[Tensor, "q 3"]:
    """Return q-space coordinates in double precision; None, a map without q-space, is one sample at the origin.

    Raises `SettingsError` where there is no sample, or a coordinate is not finite.
    """
    if q is None:
        return torch.zeros(1, 3, dtype=torch.float64)
    q = q.detach().to("cpu", torch.float64)
    if len(q) == 0 or not bool(q.isfinite().all()):
        raise SettingsError(
            f"{number_of(len(q), 'q-space sample')}, {number_of(int((~q.isfinite()).sum()), 'coordinate')} not finite"
        )
    return q


def unweighted(q: Float[Tensor, "q 3"]) -> Tensor:
    """Return which samples lie at the origin: the b=0 volumes."""
    return q.norm(dim=-1) <= _ZERO_LENGTH


def shell_lengths(q: Float[Tensor, "q 3"]) -> Float[Tensor, " q"]:
    """Return the length of every sample, that of its shell where there are shells.

    Lengths less than 5 % of the longest apart are one shell and get its mean, as jittered b-values of 1495, 1500 and
    1505. Where lengths follow each other more closely than that over more than 5 % (grids), they stay as they are.
    """
    lengths = q.norm(dim=-1)
    order = lengths.argsort(stable=True)
    within = _SAME_LENGTH * lengths.max().clamp(min=_ZERO_LENGTH)
    starts = [0, *(lengths[order].diff() > within).nonzero().flatten().add(1).tolist(), len(q)]
    for start, stop in pairwise(starts):
        shell = order[start:stop]
        if lengths[shell[-1]] - lengths[shell[0]] <= within:
            lengths[shell] = lengths[shell].mean()
    return lengths


def length_count(lengths: Float[Tensor, " q"]) -> int:
    """Return how many lengths there are, those that differ by less than 5 % of the longest taken as one."""
    within = _SAME_LENGTH * lengths.max().clamp(min=_ZERO_LENGTH)
    return 1 + int((lengths.sort().values.diff() > within).sum())
