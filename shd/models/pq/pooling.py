"""From many q-space samples to none: averages over q-space, each channel with weights of its own for each length."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.models.pq.constants import Constants
from shd.models.pq.fields import FieldType
from shd.models.pq.q_space import checked_q, length_count, shell_lengths, unweighted
from shd.models.pq.radial import radial_basis

__all__ = ["QLengthPool", "QMean", "UnweightedMean"]


class QLengthPool(nn.Module):
    """Weighted sum over q-space, the weight a learnt function of |q| (Müller et al. 2021): q-space is reduced.

    y_c(p) = Σ_q w_c(|q|) x_c(p, q), w a sum of radial functions. It begins as the plain mean. The output keeps an axis
    of one sample, at the origin, as layers without q-space take it.
    """

    def __init__(self, channels: FieldType, q: Float[Tensor, "q 3"], radial: str = "gaussian") -> None:
        super().__init__()
        self.type_in = self.type_out = channels
        lengths = shell_lengths(checked_q(q))
        self.radial = radial_basis(radial, length_count(lengths), float(lengths.max()))
        self.constants = Constants(lengths=lengths)
        self.weight = nn.Parameter(torch.zeros(channels.scalars + channels.tensors, self.radial.count))

    def forward(self, x: Float[Tensor, "batch q component x y z"]) -> Float[Tensor, "batch 1 component x y z"]:
        """Return the pooled field."""
        functions = self.radial(self.constants.like("lengths", self.weight))
        counts = torch.tensor(self.type_in.component_counts(), device=x.device)
        weight = (1.0 + self.weight @ functions.T) / len(functions)
        weight = weight.repeat_interleave(counts, dim=0, output_size=self.type_in.dimension)
        return torch.einsum("nqcxyz,cq->ncxyz", x, weight).unsqueeze(1)


class QMean(nn.Module):
    """Plain mean over q-space; the axis of samples is kept, with one sample."""

    def __init__(self, channels: FieldType, q: Float[Tensor, "q 3"]) -> None:
        super().__init__()
        self.type_in = self.type_out = channels

    def forward(self, x: Float[Tensor, "batch q component x y z"]) -> Float[Tensor, "batch 1 component x y z"]:
        """Return the mean field."""
        return x.mean(dim=1, keepdim=True)


class UnweightedMean(nn.Module):
    """The b=0 volumes averaged into one, which comes first; `q` are the coordinates that are left."""

    def __init__(self, q: Float[Tensor, "q 3"]) -> None:
        super().__init__()
        zero = unweighted(checked_q(q))
        self._zero, self._weighted = zero.nonzero().squeeze(1).tolist(), (~zero).nonzero().squeeze(1).tolist()
        self.q = torch.cat([checked_q(q)[self._zero[:1]], checked_q(q)[self._weighted]])

    def forward(self, signal: Float[Tensor, "batch q x y z"]) -> Float[Tensor, "batch q2 x y z"]:
        """Return the mean of the b=0 volumes, if there are any, and the other volumes in their order."""
        weighted = signal[:, self._weighted]
        if not self._zero:
            return weighted
        return torch.cat([signal[:, self._zero].mean(dim=1, keepdim=True), weighted], dim=1)
