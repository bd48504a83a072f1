"""The kernels as differentiable operations; they call no torch operation that autocast would change."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from shd.engines.compiled.library import MixArguments, OutputGradients, arithmetic, kernels
from shd.engines.compiled.plan import Plan

__all__ = ["Activate", "Analyse", "Mix", "Pool", "Synthesise", "Turn"]

# mypy: disable-error-code="no-untyped-def,override"


class Analyse(torch.autograd.Function):
    """z = diag(blocks)·Qᵀ x, stored as `dtype`, or as x is."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        ctx.plan, ctx.dtype = plan, x.dtype
        return kernels().analyse(plan, x.contiguous(), dtype or x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        return None, kernels().synthesise(ctx.plan, gradient.contiguous(), ctx.dtype), None


class Synthesise(torch.autograd.Function):
    """y = Q·diag(blocks)ᵀ z, stored as `dtype`, or as z is."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, z: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        ctx.plan, ctx.dtype = plan, z.dtype
        return kernels().synthesise(plan, z.contiguous(), dtype or z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        return None, kernels().analyse(ctx.plan, gradient.contiguous(), ctx.dtype), None


class Activate(torch.autograd.Function):
    """y = max(scale·(U z) + shift, 0)."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.plan = plan
        z, scale, shift = z.contiguous(), scale.contiguous(), shift.contiguous()
        ctx.save_for_backward(z, scale, shift)
        return kernels().activate(plan, z, scale, shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        z, scale, shift = ctx.saved_tensors
        return None, *kernels().activation_gradient("activate", ctx.plan, z, gradient.contiguous(), scale, shift)


class Turn(torch.autograd.Function):
    """Uᵀ max(scale·(U z) + shift, 0)."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        ctx.plan = plan
        z, scale, shift = z.contiguous(), scale.contiguous(), shift.contiguous()
        ctx.save_for_backward(z, scale, shift)
        return kernels().turn(plan, z, scale, shift, in_place=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        z, scale, shift = ctx.saved_tensors
        return None, *kernels().activation_gradient("turn", ctx.plan, z, gradient.contiguous(), scale, shift)


class Mix(torch.autograd.Function):
    """(z, voxel power, channel power, channel total) of the sources; z alone without `mask`."""

    @staticmethod
    def forward(
        ctx: Any, grid: tuple[int, ...], polynomials: Tensor, modes: Tensor, mask: Tensor | None, weight: Tensor,
        *sources: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        ctx.set_materialize_grads(False)
        ctx.grid = grid
        weight, sources = weight.contiguous(), tuple(source.contiguous() for source in sources)
        out, *statistics = kernels().mix(MixArguments(sources, grid, polynomials, weight), mask, modes)
        ctx.save_for_backward(polynomials, modes, mask, weight, out, *sources)
        return out, *statistics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, *by_statistics: Tensor | None) -> tuple[Tensor | None, ...]:
        polynomials, modes, mask, weight, out, *sources = ctx.saved_tensors
        gradient = torch.zeros_like(out) if gradient is None else gradient.contiguous()
        statistics = None
        if any(part is not None for part in by_statistics):
            shapes = (mask.numel(), out.shape[-1], out.shape[-1])
            whole = (
                weight.new_zeros(shape) if part is None else part.to(weight.dtype).contiguous()
                for part, shape in zip(by_statistics, shapes, strict=True)
            )
            statistics = next(whole), next(whole), next(whole)
        given = OutputGradients(gradient, out, statistics, modes if mask is None else mask, modes)
        arguments = MixArguments(sources, ctx.grid, polynomials, weight)
        by_source, by_weight = kernels().mix_gradient(arguments, given, ctx.needs_input_grad[5:])
        pooled = (
            found if found is None or found.shape == source.shape else _gathered(found, source)
            for found, source in zip(by_source, sources, strict=True)
        )
        return None, None, None, None, by_weight, *pooled


def _gathered(gradient: Tensor, source: Tensor) -> Tensor:
    """Return the gradient of a source whose voxels were copied to 2×2×2: the sum over them."""
    ones = gradient.new_ones(source.shape[1:5], dtype=arithmetic(gradient.dtype))
    return kernels().pool(gradient, ones)


class Pool(torch.autograd.Function):
    """Weighted sums over the voxels that fall on one of `weight`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor) -> Tensor:
        ctx.side = z.shape[2] // weight.shape[1]
        weight = weight.contiguous()
        ctx.save_for_backward(weight)
        return kernels().pool(z.contiguous(), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return kernels().spread(gradient.contiguous(), weight, ctx.side), None
