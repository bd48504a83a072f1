"""The kernels as functions of tensors: contiguous, on the CPU, float32, float64, or float32 stored as bfloat16.

bfloat16 is how an engine's representations may be stored, where the processor multiplies it; weights, statistics,
scale, shift and fields on the vertices are float32 then.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from shd.engines.compiled.build import BuildError, library_path
from shd.engines.compiled.plan import Plan

__all__ = ["DTYPES", "Kernels", "MixArguments", "OutputGradients", "arithmetic", "kernels"]

DTYPES = (torch.float32, torch.float64)
"""Of fields on the vertices."""


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    """Return what is computed with where representations are stored as `dtype`."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


_Address = ctypes.c_void_p
_Count = ctypes.c_int64


class _Field(ctypes.Structure):
    _fields_ = [("data", _Address), ("channels", _Count), ("halved", _Count)]


class _Mix(ctypes.Structure):
    _fields_ = [
        *((name, _Count) for name in ("batch", "x", "y", "z", "vertices", "orders", "radii", "sources", "outputs")),
        ("source", _Field * 2),
        ("polynomials", _Address),
        ("weight", _Address),
    ]


class _Pooling(ctypes.Structure):
    _fields_ = [
        *((name, _Count) for name in ("vertices", "batch", "x", "y", "z", "channels", "side")),
        ("weight", _Address),
    ]


class _Activation(ctypes.Structure):
    _fields_ = [(name, _Address) for name in ("scale", "shift", "scale_gradient", "shift_gradient")]


class _OutputGradient(ctypes.Structure):
    _fields_ = [
        (name, _Address)
        for name in ("gradient", "output", "voxel_power", "channel_power", "channel_total", "mask", "modes")
    ]


@dataclass(frozen=True, eq=False)
class MixArguments:
    """sources: one or two, (vertex, batch, x, y, z, channel) on `grid` or half of it. polynomials: (vertex, order)."""

    sources: Sequence[Tensor]
    grid: tuple[int, ...]
    polynomials: Tensor
    weight: Tensor

    def structure(self) -> _Mix:
        """Return struct Mix of mix.h; the tensors must outlive it."""
        order, radii, _, outputs = self.weight.shape
        fields = [
            _Field(source.data_ptr(), source.shape[-1], int(tuple(source.shape[1:5]) != self.grid))
            for source in self.sources
        ]
        vertices = len(self.polynomials)
        return _Mix(
            *self.grid, vertices, order, radii, len(fields), outputs, (_Field * 2)(*fields),
            self.polynomials.data_ptr(), self.weight.data_ptr(),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class OutputGradients:
    """Gradients with respect to what a mix returned; those of the statistics are all there or all None."""

    gradient: Tensor
    output: Tensor
    statistics: tuple[Tensor, Tensor, Tensor] | None
    mask: Tensor
    modes: Tensor


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class Kernels:
    """The functions of engine.cpp."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def bfloat16(self) -> bool:
        """Whether the processor multiplies bfloat16."""
        return hasattr(self._library, "shd_mix_bfloat16")

    def call(self, name: str, dtype: torch.dtype, *arguments: object) -> None:
        """Call shd_`name` for numbers of this type, with as many threads as torch has."""
        function = getattr(self._library, f"shd_{name}_{_name(dtype)}")
        function.restype = None
        function(*arguments, ctypes.c_int(torch.get_num_threads()))

    def _transform(
        self, name: str, plan: Plan, like: Tensor, *arrays: Tensor, activation: _Activation | None = None
    ) -> None:
        """Call a function of sphere.h for representations stored `like` that; all arrays have the same columns."""
        extra = () if activation is None else (ctypes.byref(activation),)
        addresses = (_Address(array.data_ptr()) for array in arrays)
        columns = _Count(arrays[0][0].numel())
        self.call(name, like.dtype, ctypes.byref(plan.structure), *extra, *addresses, columns)

    def analyse(self, plan: Plan, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return diag(blocks)·Qᵀ x, (row, …) for x (vertex, …), stored as `dtype`."""
        out = x.new_empty(plan.eigenvectors, *x.shape[1:], dtype=dtype)
        self._transform(f"analyse_{_name(x.dtype)}", plan, out, x, out)
        return out

    def synthesise(self, plan: Plan, z: Tensor, dtype: torch.dtype) -> Tensor:
        """Return Q·diag(blocks)ᵀ z, stored as `dtype`."""
        out = z.new_empty(plan.vertices, *z.shape[1:], dtype=dtype)
        self._transform(f"synthesise_{_name(dtype)}", plan, z, z, out)
        return out

    def activate(self, plan: Plan, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return y = max(scale·U z + shift, 0) with one scale and shift a column."""
        out = scale.new_empty(plan.vertices, *z.shape[1:])
        activation = _Activation(scale.data_ptr(), shift.data_ptr(), None, None)
        self._transform("activate", plan, z, z, out, activation=activation)
        return out

    def turn(self, plan: Plan, z: Tensor, scale: Tensor, shift: Tensor, in_place: bool) -> Tensor:
        """Return Uᵀ max(scale·U z + shift, 0); in place of z where nobody needs it any more."""
        out = z if in_place else torch.empty_like(z)
        activation = _Activation(scale.data_ptr(), shift.data_ptr(), None, None)
        self._transform("turn", plan, z, z, out, activation=activation)
        return out

    def activation_gradient(
        self, name: str, plan: Plan, z: Tensor, given: Tensor, scale: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by z, scale and shift of what `name` ("activate" or "turn") returns."""
        out, by_scale, by_shift = torch.empty_like(z), torch.empty_like(scale), torch.empty_like(scale)
        activation = _Activation(*(tensor.data_ptr() for tensor in (scale, shift, by_scale, by_shift)))
        self._transform(f"{name}_gradient", plan, z, z, given, out, activation=activation)
        return out, by_scale, by_shift

    def mix(self, arguments: MixArguments, mask: Tensor | None, modes: Tensor) -> tuple[Tensor, ...]:
        """Return the mixed field, and with `mask` (voxel) its voxel power, channel power and channel total."""
        weight, like = arguments.weight, arguments.sources[0]
        outputs = weight.shape[-1]
        out = like.new_empty(len(arguments.polynomials), *arguments.grid, outputs)
        sums: list[Tensor] = []
        if mask is not None:
            sums = [torch.zeros(count, dtype=torch.float64) for count in (mask.numel(), outputs, outputs)]
        addresses: list[_Address | None] = [_Address(tensor.data_ptr()) for tensor in sums] or [None] * 3
        self.call(
            "mix", like.dtype, ctypes.byref(arguments.structure()), _Address(out.data_ptr()),
            _Address(_address(mask)), _Address(modes.data_ptr()), *addresses,
        )  # fmt: skip
        return out, *(total.to(weight.dtype) for total in sums)

    def mix_gradient(
        self, arguments: MixArguments, given: OutputGradients, wanted: Sequence[bool]
    ) -> tuple[list[Tensor | None], Tensor]:
        """Return the gradients of the sources (on the full grid, None where not wanted) and of the weight."""
        weight = arguments.weight
        vertices = len(arguments.polynomials)
        sources = [
            source.new_empty(vertices, *arguments.grid, source.shape[-1]) if want else None
            for source, want in zip(arguments.sources, wanted, strict=True)
        ]
        result = torch.empty_like(weight)
        structure = _OutputGradient(
            given.gradient.data_ptr(), given.output.data_ptr(), *(map(_address, given.statistics or (None,) * 3)),
            given.mask.data_ptr(), given.modes.data_ptr(),
        )  # fmt: skip
        pointers = (_Address * 2)(*map(_address, sources))
        self.call(
            "mix_gradient", given.output.dtype, ctypes.byref(arguments.structure()), ctypes.byref(structure), pointers,
            _Address(result.data_ptr()),
        )  # fmt: skip
        return sources, result

    def pool(self, fine: Tensor, weight: Tensor) -> Tensor:
        """Return weight·Σ over the 2×2×2 voxels (or the one) that fall on each voxel of `weight` (batch, x, y, z)."""
        coarse = fine.new_empty(fine.shape[0], *weight.shape, fine.shape[-1])
        self._resample("pool", fine, coarse, weight, coarse.shape, fine.shape[2] // weight.shape[1])
        return coarse

    def spread(self, coarse: Tensor, weight: Tensor, side: int) -> Tensor:
        """Return the adjoint of `pool`: every value times its weight, copied to where it came from."""
        vertices, batch, nx, ny, nz, channels = coarse.shape
        fine = coarse.new_empty(vertices, batch, side * nx, side * ny, side * nz, channels)
        self._resample("spread", coarse, fine, weight, coarse.shape, side)
        return fine

    def _resample(
        self, name: str, source: Tensor, out: Tensor, weight: Tensor, shape: Sequence[int], side: int
    ) -> None:
        structure = _Pooling(*shape, side, weight.data_ptr())
        self.call(name, out.dtype, ctypes.byref(structure), _Address(source.data_ptr()), _Address(out.data_ptr()))


@lru_cache(maxsize=1)
def kernels() -> Kernels:
    """Return the compiled kernels. Raises BuildError where they cannot be built or loaded."""
    path = library_path()
    try:
        return Kernels(ctypes.CDLL(str(path)))
    except OSError as error:
        raise BuildError(f"{path} cannot be loaded ({error})") from error
