"""The kernel of the `pq_diff` basis: harmonics of the difference of p- and q-offsets, which do not part."""

import torch
from jaxtyping import Float
from torch import Tensor

from shd.models.pq.coupling import harmonics
from shd.models.pq.geometry import Geometry
from shd.models.pq.kernel import FilterKernel

__all__ = ["DifferenceKernel"]


class DifferenceKernel(FilterKernel):
    """Filters Y^l(p − q): one set of harmonics for every tap and every pair of q-space samples."""

    @staticmethod
    def angular_functions(angular: str, geometry: Geometry, highest: int) -> tuple[Tensor, Tensor]:
        """Return (component, q_out, q_in, tap), and one constant function."""
        offsets = geometry.p_offsets() - geometry.q_offsets().unsqueeze(2)
        return harmonics(highest, offsets).movedim(-1, 0), torch.ones(1, 1, dtype=torch.float64)

    def forward(self) -> Float[Tensor, "q_out out q_in in tap"]:
        """Return the kernel as the weights stand."""
        functions = self._functions()
        rows = []
        for out in self.type_out.orders:
            blocks = [self._block(out, into, functions) for into in self.type_in.orders]
            rows.append(torch.cat(blocks, dim=3))
        return torch.cat(rows, dim=1)

    def _functions(self) -> Float[Tensor, "q_radial p_radial component q_out q_in tap"]:
        """Return every product of radial functions and a harmonic."""
        harmonic = self.constants.like("p", self._like)
        return torch.einsum("rab,kt,fabt->rkfabt", self.q_radii(), self.p_radii(), harmonic)

    def _block(self, out: int, into: int, functions: Tensor) -> Float[Tensor, "q_out out q_in in tap"]:
        """Return the kernel between two orders; zero where no path connects them."""
        height, width = self._extent(out, into)
        samples_out, samples_in, taps = functions.shape[-3:]
        if (out, into) not in self.paths:
            return functions.new_zeros(samples_out, height, samples_in, width, taps)
        coupling = self.coupling(out, into).squeeze(-1)
        mixed = torch.tensordot(self.weight(out, into), coupling, dims=([2], [0]))  # radii c_out c_in out in component
        block = torch.tensordot(mixed, functions, dims=([0, 1, 6], [0, 1, 2]))  # c_out c_in out in q_out q_in tap
        return block.permute(4, 0, 2, 5, 1, 3, 6).reshape(samples_out, height, samples_in, width, taps)

    def variance(self, out: int) -> float:
        """Return the mean variance of a component of an output order, for white input and weights of variance one."""
        with torch.no_grad():
            functions = self._functions().double()
            powers = torch.einsum("rkfabt,rkgabt->fg", functions, functions)
            total = 0.0
            for into in self.type_in.orders:
                if (out, into) in self.paths:
                    coupled = self.coupling(out, into).squeeze(-1).double()
                    power = torch.einsum("xoif,xoig,fg->", coupled, coupled, powers)
                    total += self.type_in.count(into) * float(power)
        return total / ((2 * out + 1) * functions.shape[3])
