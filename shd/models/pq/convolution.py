"""The p-q-space convolution: a drop-in replacement of a 3-D convolution that turns with p- and q-space together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.errors import SettingsError
from shd.models.pq.contraction import factored_convolution, folded_convolution, joined
from shd.models.pq.coupling import ANGULAR_BASES
from shd.models.pq.difference_kernel import DifferenceKernel
from shd.models.pq.fields import FieldType
from shd.models.pq.geometry import Geometry
from shd.models.pq.kernel import FilterKernel, Filters
from shd.models.pq.plan import Block, Sizes, plan
from shd.models.pq.q_space import checked_q, shell_lengths
from shd.models.pq.separable_kernel import KernelFactors, SeparableKernel, summed

__all__ = ["PQConvolution", "PQLinear"]


class PQLinear(nn.Module, ABC):
    """What the convolution and its transpose share: kernels, bias, the types of input and output.

    channels_in, channels_out: channels of each order, as (7, 4) for seven scalars and four vectors. kernel_size: voxels
    a side. q_in, q_out: q-space coordinates in voxel axes (`q_coordinates`); None is a map without q-space, which has
    one sample. stride, padding: voxels; what they mean, and the padding where none is given, each layer says. angular:
    bases whose filters are summed, see `shd.models.pq.coupling.ANGULAR_BASES`. radial: of
    `shd.models.pq.radial.RADIAL_BASES`. reflections: use only the filters that also commute with reflections. bias: of
    scalars. Raises `SettingsError` where an output order is reached from no input order.
    """

    def __init__(
        self,
        channels_in: FieldType | Sequence[int],
        channels_out: FieldType | Sequence[int],
        kernel_size: int,
        q_in: Float[Tensor, "q_in 3"] | None = None,
        q_out: Float[Tensor, "q_out 3"] | None = None,
        *,
        stride: int = 1,
        padding: int | None = None,
        angular: Sequence[str] | None = None,
        radial: str = "gaussian",
        reflections: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, self.usual_padding(kernel_size, stride) if padding is None else padding
        self.type_in, self.type_out = FieldType.of(channels_in), FieldType.of(channels_out)
        self.geometry = Geometry(kernel_size, checked_q(q_out), checked_q(q_in))
        if angular is None:
            angular = ("p",) if q_in is None and q_out is None else ("tp", "same_q")
        if not angular:
            raise SettingsError(f"0 angular bases; give one or more of {', '.join(ANGULAR_BASES)}")
        every = [
            (DifferenceKernel if name == "pq_diff" else SeparableKernel)(
                self.type_in, self.type_out, self.geometry, Filters(name, radial, reflections)
            )
            for name in angular
        ]
        kernels = [kernel for kernel in every if kernel.paths]
        self.separable = nn.ModuleList(kernel for kernel in kernels if isinstance(kernel, SeparableKernel))
        self.differences = nn.ModuleList(kernel for kernel in kernels if isinstance(kernel, DifferenceKernel))
        counts = [
            (kernel.harmonic_count, kernel.q_radial_count) for kernel in kernels if isinstance(kernel, SeparableKernel)
        ]
        self.sizes = Sizes(
            self.type_out.dimension, self.type_in.dimension, kernel_size**3,
            sum(harmonics for harmonics, _ in counts), sum(harmonics * radii for harmonics, radii in counts),
        )  # fmt: skip
        self._start(kernels, angular)
        self.bias = nn.Parameter(torch.zeros(self.type_out.scalars)) if bias and self.type_out.scalars else None

    @staticmethod
    @abstractmethod
    def usual_padding(kernel_size: int, stride: int) -> int:
        """Return the padding where none is given."""

    def _start(self, kernels: Sequence[FilterKernel], angular: Sequence[str]) -> None:
        """Scale the weights so that white input gives output of variance one."""
        reached = {out for kernel in kernels for out, _ in kernel.paths}
        missing = sorted(set(self.type_out.orders) - reached)
        if missing:
            samples = f"{len(self.geometry.q_out)}×{len(self.geometry.q_in)} q-space samples"
            raise SettingsError(
                f"no filter leads to order {', '.join(map(str, missing))} of the output ({self.type_out}) from order "
                f"{', '.join(map(str, self.type_in.orders))} of the input ({self.type_in}): {', '.join(angular)} on "
                f"{self.geometry.size}³ voxels and {samples} has none; use a kernel of 3 voxels or more, another "
                "basis, or fewer orders"
            )
        factors = {out: sum(kernel.variance(out) for kernel in kernels) ** -0.5 for out in self.type_out.orders}
        for kernel in kernels:
            kernel.scale(factors)

    def factors(self) -> KernelFactors:
        """Return the two factors of the summed separable kernels."""
        return summed([kernel() for kernel in self.separable])

    def dense_kernel(self) -> Float[Tensor, "q_out out q_in in tap"]:
        """Return the whole kernel, for every pair of samples."""
        parts = [kernel() for kernel in self.differences]
        if len(self.separable):
            parts.append(joined(self.factors()))
        return sum(parts[1:], parts[0])

    def with_bias(self, y: Float[Tensor, "batch q out x y z"]) -> Float[Tensor, "batch q out x y z"]:
        """Return the field with the bias added to its scalars."""
        if self.bias is None:
            return y
        shift = torch.cat([self.bias, self.bias.new_zeros(self.type_out.dimension - len(self.bias))])
        return y + shift.reshape(-1, 1, 1, 1)

    def checked(self, x: Tensor) -> Tensor:
        """Return the input; raises SettingsError where its samples or components are not those of the layer."""
        expected = len(self.geometry.q_in), self.type_in.dimension
        if x.ndim != 6 or tuple(x.shape[1:3]) != expected:
            raise SettingsError(
                f"input of shape {tuple(x.shape)}: this layer takes (batch, {expected[0]} q-space samples, "
                f"{expected[1]} components of {self.type_in}, x, y, z)"
            )
        return x

    def extra_repr(self) -> str:
        """Return what stands in the printed network."""
        samples = f"q {len(self.geometry.q_in)}→{len(self.geometry.q_out)}"
        return f"{self.type_in} → {self.type_out}, {self.geometry.size}³ voxels, {samples}"


class PQConvolution(PQLinear):
    """Convolution of fields over p-q-space (Müller et al. 2021), equivariant under joint rotations of p and q.

    y(p, q_out) = Σ_{q_in} Σ_{p_in} K(p − p_in, q_out, q_in) x(p_in, q_in) + bias of the scalars.

    Takes and returns (batch, q-space sample, component, x, y, z). Arguments are those of `PQLinear`, and stride: voxels
    between outputs; padding: zeros at every side, by default size/2 rounded down, which keeps the extent of the image
    for odd sizes and stride 1.

    Example: `PQConvolution((1,), (7, 4), 3, q, q)` in place of `nn.Conv3d(len(q), width, 3, padding=1)`, for a signal
    of shape (batch, len(q), 1, x, y, z).
    """

    @staticmethod
    def usual_padding(kernel_size: int, stride: int) -> int:
        """Return what keeps the extent of the image for odd sizes and stride 1."""
        return kernel_size // 2

    @cached_property
    def blocks(self) -> list[Block]:
        """Which samples are convolved together, and how."""
        return plan(shell_lengths(self.geometry.q_out), shell_lengths(self.geometry.q_in), self.sizes)

    def forward(self, x: Float[Tensor, "batch q_in in x y z"]) -> Float[Tensor, "batch q_out out x2 y2 z2"]:
        """Return the convolved field."""
        x = self.checked(x)
        if len(self.differences):
            return self.with_bias(folded_convolution(x, self.dense_kernel(), self.stride, self.padding))
        kernels = [kernel() for kernel in self.separable]
        rows: dict[int, Tensor] = {}
        for block in self.blocks:
            factors, here = summed(kernels, block), x if len(block.into) == x.shape[1] else x[:, block.into]
            if block.factored:
                y = factored_convolution(here, factors, self.stride, self.padding)
            else:
                y = folded_convolution(here, joined(factors), self.stride, self.padding)
            rows[block.out[0]] = rows[block.out[0]] + y if block.out[0] in rows else y
        return self.with_bias(self._in_order(list(rows.values())))

    def _in_order(self, rows: list[Tensor]) -> Tensor:
        """Return the samples of all blocks in the order of `q_out`."""
        if len(rows) == 1:
            return rows[0]
        places = list(dict.fromkeys(place for block in self.blocks for place in block.out))
        y = torch.cat(rows, dim=1)
        return y if places == sorted(places) else y[:, torch.tensor(places).argsort().tolist()]
