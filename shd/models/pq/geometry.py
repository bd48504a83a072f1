"""Where a kernel is sampled: taps of a cube of voxels, and q-space samples of output and input."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from shd.errors import SettingsError

__all__ = ["Geometry"]

_SAME_SAMPLE = 1e-6


@dataclass(frozen=True, eq=False)
class Geometry:
    """A kernel of `size` voxels a side between two sets of q-space samples (voxel axes, double precision)."""

    size: int
    q_out: Float[Tensor, "q_out 3"]
    q_in: Float[Tensor, "q_in 3"]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingsError(f"a kernel of {self.size} voxels a side; the smallest has 1")

    def p_offsets(self) -> Float[Tensor, "tap 3"]:
        """Return p_out − p_in of every tap, in the order of the weights of conv3d; the outermost voxels' faces at ±1.

        conv3d sums w[t]·x[p + t] over t = p_in − p_out, hence the sign. The single tap of a kernel of one voxel is 0.
        """
        half = (self.size - 1) / 2
        steps = (half - torch.arange(self.size, dtype=torch.float64)) / max(half, 1.0)
        return torch.cartesian_prod(steps, steps, steps)

    def q_offsets(self) -> Float[Tensor, "q_out q_in 3"]:
        """Return q_out/|q_out| − q_in/|q_in|; b=0 counts as zero."""
        out, into = (torch.nn.functional.normalize(q, dim=-1) for q in (self.q_out, self.q_in))
        return out.unsqueeze(1) - into

    def same_q(self) -> Float[Tensor, "q_out q_in"]:
        """Return 1 for the samples of output and input that coincide, 0 for others."""
        return ((self.q_out.unsqueeze(1) - self.q_in).norm(dim=-1) < _SAME_SAMPLE).double()
