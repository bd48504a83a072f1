"""The compiled kernels as an engine."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from shd.engines.compiled.library import arithmetic, kernels
from shd.engines.compiled.operations import Activate, Analyse, Mix, Pool, Synthesise, Turn
from shd.engines.compiled.plan import Plan, make_plan
from shd.engines.eigenbasis import chebyshev_polynomials
from shd.engines.statistics import Statistics
from shd.graphs.hierarchy import Level
from shd.graphs.symmetry import Orbit

__all__ = ["CompiledEngine"]

RADII = (1, 4)
"""Distances of the kernels of 1 and 3 voxels a side."""


@lru_cache(maxsize=32)
def _plan(level: Level, dtype: torch.dtype) -> Plan:
    basis = level.basis
    return make_plan(basis.orbits, tuple(block.T for block in basis.blocks), dtype)


@lru_cache(maxsize=32)
def _lifting(coarse: Level, fine: Level, dtype: torch.dtype) -> Plan:
    """Return the plan from coefficients on `coarse` to those on `fine` after copying to the four children.

    Copying commutes with the symmetries, so it stays within the blocks.
    """
    copied = fine.basis.adapted.reshape(coarse.vertices, 4, -1).sum(1)
    between = copied.T @ coarse.basis.adapted
    blocks, start, first = [], 0, 0
    for block, small in zip(fine.basis.blocks, coarse.basis.blocks, strict=True):
        stop, last = start + len(block), first + len(small)
        blocks.append(block.T @ between[start:stop, first:last] @ small)
        start, first = stop, last
    alone = (Orbit(np.array([i]), np.array([i]), np.ones((1, 1))) for i in range(coarse.vertices))
    return make_plan(tuple(alone), tuple(blocks), dtype)


@lru_cache(maxsize=64)
def _tables(level: Level, order: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the polynomials (vertex, order) and each eigenvector's sum over the vertices."""
    polynomials = chebyshev_polynomials(torch.tensor(level.basis.eigenvalues), order)
    modes = torch.from_numpy(np.sum(level.basis.eigenvectors, axis=0))
    return polynomials.to(dtype).contiguous(), modes.to(dtype)


class CompiledEngine:
    """A field's representation is its coefficients in the eigenbasis, block by block.

    Under `torch.autocast("cpu", torch.bfloat16)` they are stored as bfloat16 and multiplied as such, on processors that
    can (AVX512_BF16); everything else, and on other processors all of it, stays in the field's precision. So do the
    products with the block where constants lie: a field's mean is large, and its error would fall on the rest.
    """

    name = "compiled"

    def __init__(self) -> None:
        """Build or load the kernels. Raises BuildError where that cannot be."""
        kernels()

    def enter(self, x: Tensor, level: Level) -> Tensor:
        """Return Uᵀ x."""
        dtype = _representation(x)
        return Analyse.apply(_plan(level, dtype), x.to(arithmetic(dtype)), dtype)

    def lift(self, z: Tensor, coarse: Level, fine: Level) -> Tensor:
        """Return coefficients one level up; see `Engine.lift`."""
        return Analyse.apply(_lifting(coarse, fine, z.dtype), z)

    def pool(self, z: Tensor, weight: Tensor, fine: Level, coarse: Level) -> Tensor:
        """Return coefficients one level down; averaging children is a quarter of lifting's adjoint."""
        pooled = Pool.apply(z, (weight / 4).to(arithmetic(z.dtype)))
        return Synthesise.apply(_lifting(coarse, fine, z.dtype), pooled)

    def mix(
        self, sources: Sequence[Tensor], level: Level, weight: Tensor, mask: Tensor, statistics: str | None
    ) -> tuple[Tensor, Statistics | None]:
        """Multiply each eigenvalue's neighbour sums by its one matrix; see `Engine.mix`."""
        dtype, grid = arithmetic(sources[0].dtype), tuple(mask.shape[:4])
        polynomials, modes = _tables(level, len(weight), dtype)
        flat = None if statistics is None else mask.detach().to(dtype).reshape(-1).contiguous()
        z, *sums = Mix.apply(grid, polynomials, modes, flat, weight.to(dtype), *sources)
        if statistics is None:
            return z, None
        return z, Statistics(level.vertices, sums[0].reshape(grid), sums[1], sums[2])

    def turn(self, z: Tensor, level: Level, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the coefficients of the activations; see `Engine.turn`."""
        plan, dtype = _plan(level, z.dtype), arithmetic(z.dtype)
        scale, shift = scale.to(dtype), shift.to(dtype)
        if torch.is_grad_enabled():
            return Turn.apply(plan, z, scale, shift)
        return kernels().turn(plan, z, scale.contiguous(), shift.contiguous(), in_place=True)

    def leave(self, z: Tensor, level: Level, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Return U z, or the activations; see `Engine.leave`."""
        plan, dtype = _plan(level, z.dtype), arithmetic(z.dtype)
        if scale is None or shift is None:
            return Synthesise.apply(plan, z, dtype)
        return Activate.apply(plan, z, scale.to(dtype), shift.to(dtype))


def _representation(x: Tensor) -> torch.dtype:
    """Return how a field's representation is stored: as autocast asks for where the processor multiplies bfloat16."""
    wanted = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return torch.bfloat16 if wanted and kernels().bfloat16 else x.dtype
