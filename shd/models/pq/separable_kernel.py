"""Kernels whose p-space and q-space parts part: all angular bases but `pq_diff`."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from shd.models.pq.coupling import harmonics
from shd.models.pq.geometry import Geometry
from shd.models.pq.kernel import FilterKernel
from shd.models.pq.plan import Block

__all__ = ["KernelFactors", "SeparableKernel", "SeparatedKernel", "summed"]


class KernelFactors(NamedTuple):
    """K[a, o, b, i, t] = Σ_s q[s, a, b] p[s, o, i, t]: samples a and b, components o and i, taps t.

    s runs over the functions of q-space.
    """

    q: Float[Tensor, "s q_out q_in"]
    p: Float[Tensor, "s out in tap"]


class SeparatedKernel(NamedTuple):
    """K[a, o, b, i, t] = Σ_r radial[r, a, b] Σ_n harmonic[n, a, b] p[r, n, o, i, t], a function of |q| apart."""

    radial: Float[Tensor, "q_radial q_out q_in"]
    harmonic: Float[Tensor, "component q_out q_in"]
    p: Float[Tensor, "q_radial component out in tap"]

    def whole(self) -> KernelFactors:
        """Return the two factors for all samples; the functions of q-space are radial functions times harmonics."""
        q = torch.einsum("rab,nab->rnab", self.radial, self.harmonic)
        return KernelFactors(q.flatten(0, 1), self.p.flatten(0, 1))

    def between(self, out: Sequence[int], into: Sequence[int]) -> KernelFactors:
        """Return the two factors between samples of one length and samples of one length: q's harmonics are enough."""
        p = torch.tensordot(self.radial[:, out[0], into[0]], self.p, dims=1)
        return KernelFactors(self.harmonic[:, out][:, :, into], p)


def summed(kernels: Sequence[SeparatedKernel], block: Block | None = None) -> KernelFactors:
    """Return the two factors of the sum of kernels, for all samples or those of a block of one length each."""
    if block is None or not block.one_length:
        each = [kernel.whole() for kernel in kernels]
    else:
        each = [kernel.between(block.out, block.into) for kernel in kernels]
    return KernelFactors(torch.cat([k.q for k in each]), torch.cat([k.p for k in each]))


class SeparableKernel(FilterKernel):
    """Filters that are sums of products of a function of p and a function of q: never put together for a q-pair."""

    @staticmethod
    def angular_functions(angular: str, geometry: Geometry, highest: int) -> tuple[Tensor, Tensor]:
        """Return (component, tap) and (component, q_out, q_in); one constant function where a space has no part."""
        p = harmonics(0 if angular == "q" else highest, geometry.p_offsets())
        q = harmonics(highest if angular in ("tp", "q") else 0, geometry.q_offsets())
        if angular == "same_q":
            q = q * geometry.same_q().unsqueeze(-1)
        return p.movedim(-1, 0), q.movedim(-1, 0)

    def forward(self) -> SeparatedKernel:
        """Return the kernel as the weights stand."""
        p = torch.einsum("kt,ft->fkt", self.p_radii(), self.constants.like("p", self._like))
        harmonic = self.constants.like("q", self._like)
        rows = []
        for out in self.type_out.orders:
            rows.append(torch.cat([self._block(out, into, p) for into in self.type_in.orders], dim=3))
        return SeparatedKernel(self.q_radii(), harmonic, torch.cat(rows, dim=2))

    def _block(
        self, out: int, into: int, p: Float[Tensor, "component p_radial tap"]
    ) -> Float[Tensor, "q_radial component2 out in tap"]:
        """Return the p-factor between two orders, in two matrix products; zero where no path connects them."""
        height, width = self._extent(out, into)
        radii, functions = self.q_radial_count, self.harmonic_count
        if (out, into) not in self.paths:
            return p.new_zeros(radii, functions, height, width, p.shape[-1])
        weight = self.weight(out, into).movedim(1, -1)  # q_radial path c_out c_in p_radial
        filters = torch.tensordot(self.coupling(out, into), p, dims=([3], [0]))  # path out in q p_radial tap
        block = torch.tensordot(weight, filters, dims=([1, 4], [0, 4]))  # q_radial c_out c_in out in q tap
        return block.permute(0, 5, 1, 3, 2, 4, 6).reshape(radii, functions, height, width, -1)

    @property
    def harmonic_count(self) -> int:
        """Harmonics of q in use."""
        return len(self.constants.exact("q"))

    def variance(self, out: int) -> float:
        """Return the mean variance of a component of an output order, for white input and weights of variance one."""
        with torch.no_grad():
            p = torch.einsum("kt,ft->kft", self.p_radii().double(), self.constants.exact("p"))
            q = torch.einsum("rab,nab->rnab", self.q_radii().double(), self.constants.exact("q"))
            p_powers, q_powers = torch.einsum("kft,kgt->fg", p, p), torch.einsum("rnab,rmab->nm", q, q)
            total = 0.0
            for into in self.type_in.orders:
                if (out, into) in self.paths:
                    coupled = self.coupling(out, into).double()
                    power = torch.einsum("xoifn,xoigm,fg,nm->", coupled, coupled, p_powers, q_powers)
                    total += self.type_in.count(into) * float(power)
        return total / ((2 * out + 1) * q.shape[2])
