"""The two ways to apply a separable kernel.

Folded: the factors are joined, q-samples and components become the channels of one 3-D convolution. Factored: one 3-D
convolution of every q-sample by the p-factor, whose outputs for the functions of q are then summed over q-samples by
the q-factor. Both are held to loops over samples, orders and taps in `tests/models/pq`; `plan` says which is taken.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from shd.models.pq.separable_kernel import KernelFactors

__all__ = ["factored_convolution", "folded_convolution", "joined"]

MOST_BETWEEN = 2**26
"""Numbers between the two steps of the factored convolution at a time: 256 MiB in single precision."""


def joined(factors: KernelFactors) -> Float[Tensor, "q_out out q_in in tap"]:
    """Return K[a, o, b, i, t] = Σ_s q[s, a, b] p[s, o, i, t]."""
    return torch.einsum("sab,soit->aobit", factors.q, factors.p)


def folded_convolution(
    x: Float[Tensor, "batch q_in in x y z"], kernel: Float[Tensor, "q_out out q_in in tap"], stride: int, padding: int
) -> Float[Tensor, "batch q_out out x2 y2 z2"]:
    """Return the convolution by a whole kernel: one conv3d with samples × components as channels."""
    samples, components = kernel.shape[:2]
    weight = _cube(kernel.flatten(2, 3).flatten(0, 1))
    y = functional.conv3d(x.flatten(1, 2), weight, stride=stride, padding=padding)
    return y.unflatten(1, (samples, components))


def factored_convolution(
    x: Float[Tensor, "batch q_in in x y z"], factors: KernelFactors, stride: int, padding: int
) -> Float[Tensor, "batch q_out out x2 y2 z2"]:
    """Return the convolution by a kernel's factors: p-space first, each sample for itself, then q-space.

    Samples are taken some at a time: what lies between the two steps is several times as large as input and answer,
    and is not needed for the backward pass unless the radial functions of q are learnt.
    """
    _, samples_out, samples = factors.q.shape
    weight = _cube(factors.p.flatten(0, 1))
    grid = [(side + 2 * padding - weight.shape[-1]) // stride + 1 for side in x.shape[3:]]
    numbers = len(x) * len(weight) * grid[0] * grid[1] * grid[2]
    together = max(1, MOST_BETWEEN // max(numbers, 1))
    total: Tensor | float = 0.0
    for start in range(0, samples, together):
        here = slice(start, start + together)
        y = functional.conv3d(x[:, here].flatten(0, 1), weight, stride=stride, padding=padding)
        mixing = factors.q[:, :, here].permute(1, 2, 0).flatten(1)
        total = total + mixing @ y.reshape(len(x), mixing.shape[1], -1)
        del y
    assert isinstance(total, Tensor)
    return total.reshape(len(x), samples_out, factors.p.shape[1], *grid)


def _cube(weight: Float[Tensor, "out in tap"]) -> Float[Tensor, "out in x y z"]:
    side = round(weight.shape[-1] ** (1 / 3))
    return weight.unflatten(-1, (side, side, side))
