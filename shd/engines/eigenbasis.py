"""In the Laplacian's eigenbasis with torch alone: any device, no compiler.

There all Chebyshev orders collapse to the one matrix Σ_k T_k(λ) W[k, r] per eigenvalue: exact, and its cost does not
grow with the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shd.engines import fused
from shd.engines.neighbourhood import kernel_side, neighbour_spread, neighbour_sums, on_grid, pool_voxels
from shd.engines.statistics import Statistics, measured
from shd.graphs.hierarchy import Level

__all__ = ["EigenbasisEngine", "chebyshev_polynomials"]


def chebyshev_polynomials(eigenvalues: Float[Tensor, " vertex"], order: int) -> Float[Tensor, "vertex order"]:
    """Return T_0 … T_{order−1} at eigenvalues in [−1, 1]."""
    columns = [torch.ones_like(eigenvalues), eigenvalues]
    for _ in range(2, order):
        columns.append(2 * eigenvalues * columns[-1] - columns[-2])
    return torch.stack(columns[:order], dim=-1)


@dataclass(frozen=True, eq=False)
class _Basis:
    """The eigenbasis of a level as tensors; `gather`, `turns` and `blocks` hold it in symmetry blocks.

    modes: sum of each eigenvector over the vertices. gather: vertices orbit by orbit, orbits of one size together.
    turns: for each size the orbits' matrices. place: where each block's coordinates are in the orbits' results.
    scatter, unplace: the inverses of gather and place.
    """

    eigenvectors: Float[Tensor, "vertex vertex"]
    modes: Float[Tensor, " vertex"]
    gather: Int[Tensor, " vertex"]
    turns: tuple[Float[Tensor, "_orbit _member _member"], ...]
    place: Int[Tensor, " vertex"]
    scatter: Int[Tensor, " vertex"]
    unplace: Int[Tensor, " vertex"]
    blocks: tuple[Float[Tensor, "_coordinate _eigenvector"], ...]


@lru_cache(maxsize=64)
def _basis(level: Level, device: torch.device, dtype: torch.dtype) -> _Basis:
    basis = level.basis
    vectors = torch.tensor(basis.eigenvectors)
    by_size = sorted(basis.orbits, key=lambda orbit: len(orbit.vertices))
    sizes = sorted({len(orbit.vertices) for orbit in by_size})
    turns = [torch.stack([torch.tensor(o.matrix) for o in by_size if len(o.vertices) == size]) for size in sizes]
    coordinates = torch.cat([torch.tensor(orbit.coordinates) for orbit in by_size])
    gather = torch.cat([torch.tensor(orbit.vertices) for orbit in by_size])
    return _Basis(
        vectors.to(device, dtype),
        vectors.sum(0).to(device, torch.promote_types(dtype, torch.float32)),
        gather.to(device),
        tuple(turn.to(device, dtype) for turn in turns),
        torch.argsort(coordinates).to(device),
        torch.argsort(gather).to(device),
        coordinates.to(device),
        tuple(torch.tensor(block).to(device, dtype) for block in basis.blocks if len(block)),
    )


@lru_cache(maxsize=64)
def _polynomials(level: Level, order: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "vertex order"]:
    return chebyshev_polynomials(torch.tensor(level.basis.eigenvalues), order).to(device, dtype)


@lru_cache(maxsize=32)
def _lifting(coarse: Level, fine: Level, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "vertex coarse"]:
    """Return what takes coefficients on `coarse` to those on `fine` after copying to the four children."""
    copied = torch.tensor(fine.basis.eigenvectors).T.unflatten(1, (coarse.vertices, 4)).sum(-1)
    return (copied @ torch.tensor(coarse.basis.eigenvectors)).to(device, dtype)


def _blockwise(basis: _Basis, x: Float[Tensor, "vertex column"]) -> Float[Tensor, "vertex column"]:
    """Return Uᵀ x through the symmetry blocks: a fifth of the multiplications, but memory is passed more often."""
    gathered, turned, start = x[basis.gather], [], 0
    for turn in basis.turns:
        orbits, size, _ = turn.shape
        part = gathered[start : start + orbits * size].unflatten(0, (orbits, size))
        turned.append(torch.bmm(turn, part).flatten(0, 1))
        start += orbits * size
    adapted = torch.cat(turned)[basis.place]
    parts = adapted.split([len(block) for block in basis.blocks])
    return torch.cat([block.T @ part for block, part in zip(basis.blocks, parts, strict=True)])


def _blockwise_back(basis: _Basis, z: Float[Tensor, "vertex column"]) -> Float[Tensor, "vertex column"]:
    """Return U z through the symmetry blocks."""
    parts = z.split([len(block) for block in basis.blocks])
    adapted = torch.cat([block @ part for block, part in zip(basis.blocks, parts, strict=True)])
    gathered, turned, start = adapted[basis.unplace], [], 0
    for turn in basis.turns:
        orbits, size, _ = turn.shape
        part = gathered[start : start + orbits * size].unflatten(0, (orbits, size))
        turned.append(torch.bmm(turn.transpose(1, 2), part).flatten(0, 1))
        start += orbits * size
    return torch.cat(turned)[basis.scatter]


class _Blockwise(torch.autograd.Function):
    """Uᵀ x or U z; each is the other's adjoint, which is cheaper than going back through every step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, basis: _Basis, back: bool) -> Tensor:
        ctx.basis, ctx.back = basis, back
        return (_blockwise_back if back else _blockwise)(basis, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Blockwise.apply(gradient, ctx.basis, not ctx.back), None, None


def _blocks_pay(x: Tensor) -> bool:
    """Return whether fewer multiplications outweigh more passes: not where products are as quick as memory."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and x.shape[0] >= 96


def _mixed(x: Tensor, spectral: Float[Tensor, "vertex radius channel_in channel_out"]) -> Tensor:
    """Return Σ_r S_r x_λ W_λ[r] for every eigenvalue λ.

    The sums are taken on whichever side of the mixing has fewer channels: they commute with it.
    """
    vertices, radii, inputs, outputs = spectral.shape
    size, fuse = kernel_side(radii), radii == fused.RADII and fused.fusible(x)
    if inputs <= outputs:
        gathered = fused.summed_neighbours(x) if fuse else torch.cat(neighbour_sums(x, size), dim=-1)
        z = torch.bmm(gathered.reshape(vertices, -1, radii * inputs), spectral.reshape(vertices, -1, outputs))
        return z.reshape(*x.shape[:-1], outputs)
    flat = x.reshape(vertices, -1, inputs)
    if fuse:
        products = torch.bmm(flat, spectral.transpose(1, 2).reshape(vertices, inputs, -1))
        return fused.spread_neighbours(products.reshape(*x.shape[:-1], radii * outputs))
    parts = (torch.bmm(flat, spectral[:, radius]) for radius in range(radii))
    return neighbour_spread(tuple(part.reshape(*x.shape[:-1], outputs) for part in parts), size)


class EigenbasisEngine:
    """A field's representation is its coefficients in the eigenbasis, block by block.

    On a GPU the passes over memory that are not matrix products are those of `fused`, where these run.
    """

    name = "torch"

    def enter(self, x: Tensor, level: Level) -> Tensor:
        """Return Uᵀ x."""
        x = _lowered(x)
        basis, flat = _basis(level, x.device, x.dtype), x.reshape(x.shape[0], -1)
        found = _Blockwise.apply(flat, basis, False) if _blocks_pay(x) else basis.eigenvectors.T @ flat
        return found.reshape(x.shape)

    def lift(self, z: Tensor, coarse: Level, fine: Level) -> Tensor:
        """Return coefficients one level up; see `Engine.lift`."""
        found = _lifting(coarse, fine, z.device, z.dtype) @ z.reshape(z.shape[0], -1)
        return found.reshape(fine.vertices, *z.shape[1:])

    def pool(self, z: Tensor, weight: Tensor, fine: Level, coarse: Level) -> Tensor:
        """Return coefficients one level down; averaging children is a quarter of lifting's adjoint."""
        z = pool_voxels(z, weight / 4)
        found = _lifting(coarse, fine, z.device, z.dtype).T @ z.reshape(z.shape[0], -1)
        return found.reshape(coarse.vertices, *z.shape[1:])

    def mix(
        self, sources: Sequence[Tensor], level: Level, weight: Tensor, mask: Tensor, statistics: str | None
    ) -> tuple[Tensor, Statistics | None]:
        """Multiply each eigenvalue's neighbour sums by its one matrix; see `Engine.mix`."""
        x = on_grid(sources, mask)
        order, vertices = len(weight), len(x)
        polynomials = _polynomials(level, order, x.device, weight.dtype)
        spectral = (polynomials @ weight.reshape(order, -1)).reshape(vertices, *weight.shape[1:]).to(x.dtype)
        z = _mixed(x, spectral)
        if statistics is None:
            return z, None
        modes = _basis(level, x.device, x.dtype).modes
        return z, measured(z, modes, mask, vertices, statistics == "channel")

    def turn(self, z: Tensor, level: Level, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the coefficients of the activations; see `Engine.turn`."""
        return self.enter(self.leave(z, level, scale, shift), level)

    def leave(self, z: Tensor, level: Level, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Return U z, or the activations; see `Engine.leave`."""
        basis, flat = _basis(level, z.device, z.dtype), z.reshape(z.shape[0], -1)
        found = _Blockwise.apply(flat, basis, True) if _blocks_pay(z) else basis.eigenvectors @ flat
        y = found.reshape(z.shape)
        if scale is None or shift is None:
            return y
        if fused.fusible(y):
            return fused.activated(y, scale, shift)
        return torch.relu(torch.addcmul(shift.to(y.dtype), y, scale.to(y.dtype)))


def _lowered(x: Tensor) -> Tensor:
    """Return the field in the precision that autocast asks for."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
