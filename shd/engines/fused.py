"""Passes over memory that the torch engine fuses on a GPU: sums over neighbours, activations, sums over vertices.

Each equals a short expression of torch (`neighbourhood`, `eigenbasis`, `statistics`), which is used wherever these do
not run: without a GPU, without Triton, in double precision. They are differentiable once.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["RADII", "activated", "column_sums", "fusible", "spread_neighbours", "summed_neighbours", "why_not_fused"]

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
RADII = 4  # distances of the one kernel that these take, 3×3×3
_BLOCK = 1024  # numbers of a row that a program takes at once
_PLANE_BLOCK = 512  # of a plane, of which it keeps more in registers
_PROGRAMS = 2048  # enough to keep a large GPU busy
_PLANES, _ROWS = (2, 8), (8, 128)  # that one program walks over, at least and at most: powers of two
_LARGEST_ROW = 2**31 - 2**20  # numbers at one vertex: offsets there are of 32 bits


def _interpreted() -> bool:
    """Return whether Triton interprets kernels on the CPU, as its variable asks."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@lru_cache(maxsize=1)
def _kernels() -> ModuleType:
    from shd.engines import fused_kernel

    return fused_kernel


@lru_cache(maxsize=16)
def _failure(device: torch.device) -> str | None:
    """Return why a first small sum did not work, None where it did."""
    if find_spec("triton") is None:
        return "fused kernels need Triton, which is not installed: pip install triton"
    try:
        found = _sums(torch.ones(1, 1, 3, 3, 3, 1, device=device))[0, 0, 1, 1, 1].tolist()
    except Exception as error:  # the toolchain behind a kernel can fail in any way, and torch's own operations remain
        return f"fused kernels cannot be built here: {' '.join(str(error).split())[:160]}"
    return None if found == [1.0, 6.0, 12.0, 8.0] else f"fused kernels are wrong here: {found} neighbours of a voxel"


def why_not_fused(device: torch.device) -> str | None:
    """Return why fused kernels do not run on a device, None where they do; tried at the first call.

    SHD_FUSED=0 in the environment switches them off.
    """
    if os.environ.get("SHD_FUSED") == "0":
        return "fused kernels are switched off by SHD_FUSED=0"
    if device.type != "cuda" and not _interpreted():
        return f"fused kernels are for GPUs, not for {device.type}"
    return _failure(device)


def fusible(x: Tensor) -> bool:
    """Return whether the functions of this module take a field like `x` (vertex, batch, x, y, z, channel)."""
    known = x.dtype in _DTYPES and x.numel() > 0 and x.numel() // len(x) * RADII < _LARGEST_ROW
    return known and why_not_fused(x.device) is None


def _parts(tiles: int, length: int, limits: tuple[int, int]) -> tuple[int, int]:
    """Return into how many parts `length` is cut, so that there are programs enough, and the steps in each.

    Steps are compiled in; being powers of two within limits, they are few different ones.
    """
    wanted, (least, most) = -(-length // -(-_PROGRAMS // tiles)), limits
    steps = 2 ** (max(least, min(wanted, most)).bit_length() - 1)
    return -(-length // steps), steps


def _along_x(kernel: Any, source: Tensor, target: Tensor, shape: torch.Size) -> None:
    vertices, batch, nx, ny, nz, channels = shape
    tiles = -(-ny * nz * channels // _PLANE_BLOCK)
    parts, steps = _parts(tiles * vertices * batch, nx, _PLANES)
    with torch.cuda.device_of(source):
        kernel[(tiles * parts * vertices * batch,)](
            source, target, nx, ny, nz, tiles, parts, channels=channels, steps=steps, block=_PLANE_BLOCK
        )


def _sums(x: Tensor) -> Tensor:
    x = x.contiguous()
    target = x.new_empty(*x.shape[:-1], RADII * x.shape[-1])
    _along_x(_kernels().neighbour_sums_kernel, x, target, x.shape)
    return target


def _spread(z: Tensor) -> Tensor:
    z = z.contiguous()
    target = z.new_empty(*z.shape[:-1], z.shape[-1] // RADII)
    _along_x(_kernels().neighbour_spread_kernel, z, target, target.shape)
    return target


class _Neighbours(torch.autograd.Function):
    """Sums or their adjoint; each is the other's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, spread: bool) -> Tensor:
        ctx.spread = spread
        return (_spread if spread else _sums)(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Neighbours.apply(gradients[0], not ctx.spread), None


def summed_neighbours(
    x: Float[Tensor, "vertex batch x y z channel"],
) -> Float[Tensor, "vertex batch x y z radius_channel"]:
    """Return the sums over the voxels at the four distances of a 3×3×3 kernel, channels of one after the other."""
    return _Neighbours.apply(x, False)


def spread_neighbours(
    z: Float[Tensor, "vertex batch x y z radius_channel"],
) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return Σ_r S_r z_r for four fields, channels of one after the other; the adjoint of `summed_neighbours`."""
    return _Neighbours.apply(z, True)


def _by_columns(kernel: Any, rows: int, columns: int, tensors: Callable[[int], tuple[Tensor, ...]]) -> None:
    """Run a kernel that walks down the rows. tensors: what it takes, from the number of parts of the rows."""
    tiles = -(-columns // _BLOCK)
    parts, steps = _parts(tiles, rows, _ROWS)
    given = tensors(parts)
    with torch.cuda.device_of(given[0]):
        kernel[(tiles * parts,)](*given, rows, columns, tiles, steps=steps, block=_BLOCK)


class _Activated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y, scale, shift = y.contiguous(), scale.contiguous(), shift.contiguous()
        ctx.save_for_backward(y, scale, shift)
        target = torch.empty_like(y)
        _by_columns(_kernels().activation_kernel, len(y), scale.numel(), lambda _: (y, scale, shift, target))
        return target

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, scale, shift = ctx.saved_tensors
        gradient, to_field = gradients[0].contiguous(), torch.empty_like(y)
        sums: list[Tensor] = []

        def tensors(parts: int) -> tuple[Tensor, ...]:
            sums.extend(torch.empty(parts, *scale.shape, device=y.device) for _ in range(2))
            return y, scale, shift, gradient, to_field, *sums

        _by_columns(_kernels().activation_gradient_kernel, len(y), scale.numel(), tensors)
        by_scale, by_shift = (part.sum(0) for part in sums)
        return to_field, by_scale.to(scale.dtype), by_shift.to(shift.dtype)


def activated(
    y: Float[Tensor, "vertex batch x y z channel"],
    scale: Float[Tensor, "batch x y z channel"],
    shift: Float[Tensor, "batch x y z channel"],
) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return max(scale·y + shift, 0) in the precision of `y`, rounded once."""
    return _Activated.apply(y, scale, shift)


class _ColumnSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        z, weights = z.contiguous(), weights.float().contiguous()
        ctx.save_for_backward(z, weights)
        sums: list[Tensor] = []

        def tensors(parts: int) -> tuple[Tensor, ...]:
            sums.extend(torch.empty(parts, *z.shape[1:], device=z.device) for _ in range(2))
            return z, weights, *sums

        _by_columns(_kernels().column_sums_kernel, len(z), z[0].numel(), tensors)
        return sums[0].sum(0), sums[1].sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        z, weights = ctx.saved_tensors
        of_power, of_total = (gradient.contiguous() for gradient in gradients)
        target = torch.empty_like(z)
        kernel = _kernels().column_sums_gradient_kernel
        _by_columns(kernel, len(z), z[0].numel(), lambda _: (z, weights, of_power, of_total, target))
        return target, None


def column_sums(
    z: Float[Tensor, "row batch x y z channel"], weights: Float[Tensor, " row"]
) -> tuple[Float[Tensor, "batch x y z channel"], Float[Tensor, "batch x y z channel"]]:
    """Return Σ z² and Σ weight·z over the rows, in single precision. The weights get no gradient."""
    return _ColumnSums.apply(z, weights)
