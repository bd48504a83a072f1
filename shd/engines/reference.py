"""The definition, in readable form: the Chebyshev recurrence on the vertices.

SO(3) part: y = Σ_k T_k(L) x A_k, with T_k the Chebyshev polynomials of the rescaled Laplacian (Defferrard et al. 2016,
eq. 4; Perraudin et al. 2019). With space: y = Σ_{k,r} T_k(L) S_r x W[k, r], where S_r sums the voxel neighbours at the
r-th distance (Elaldi et al. 2024, eq. 5; there W[k, r] = A[k]·B[r], here W is free at the same cost). Every other
engine is held to this one.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from shd.engines.neighbourhood import kernel_side, neighbour_sums, on_grid, pool_voxels
from shd.engines.statistics import Statistics, measured
from shd.graphs.hierarchy import Level

__all__ = [
    "ReferenceEngine",
    "chebyshev_recurrence",
    "pool_vertices",
    "spatio_spherical_recurrence",
    "unpool_vertices",
]


def _chebyshev_terms(x: Tensor, laplacian: Tensor, order: int) -> list[Tensor]:
    def apply(signal: Tensor) -> Tensor:
        return (laplacian @ signal.reshape(signal.shape[0], -1)).reshape(signal.shape)

    terms = [x]
    if order > 1:
        terms.append(apply(x))
    for _ in range(2, order):
        terms.append(2 * apply(terms[-1]) - terms[-2])
    return terms


def chebyshev_recurrence(
    x: Float[Tensor, "vertex *grid channel_in"],
    laplacian: Tensor,
    weight: Float[Tensor, "order channel_in channel_out"],
) -> Float[Tensor, "vertex *grid channel_out"]:
    """Return Σ_k T_k(L) x W[k] by the three-term recurrence; `laplacian` (V, V), rescaled, dense or sparse."""
    terms = _chebyshev_terms(x, laplacian, len(weight))
    return sum((term @ w for term, w in zip(terms, weight, strict=True)), start=torch.zeros(()).to(x))


def spatio_spherical_recurrence(
    x: Float[Tensor, "vertex batch x y z channel_in"],
    laplacian: Tensor,
    weight: Float[Tensor, "order radius channel_in channel_out"],
    size: int,
) -> Float[Tensor, "vertex batch x y z channel_out"]:
    """Return Σ_{k,r} T_k(L) S_r x W[k, r] by the recurrence, for an isotropic size³ kernel."""
    sums = neighbour_sums(x, size)
    return sum(
        (chebyshev_recurrence(part, laplacian, weight[:, radius]) for radius, part in enumerate(sums)),
        start=torch.zeros(()).to(x),
    )


def pool_vertices(x: Float[Tensor, "vertex *grid channel"]) -> Float[Tensor, "coarse *grid channel"]:
    """Return the mean over the four children of every vertex of the next coarser level."""
    return x.unflatten(0, (x.shape[0] // 4, 4)).mean(1)


def unpool_vertices(x: Float[Tensor, "coarse *grid channel"]) -> Float[Tensor, "vertex *grid channel"]:
    """Return every vertex's value copied to its four children; 4× the adjoint of `pool_vertices`."""
    return x.repeat_interleave(4, dim=0)


@lru_cache(maxsize=32)
def _laplacian(level: Level, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(level.laplacian.toarray()).to(device, dtype)


class ReferenceEngine:
    """Works on the vertices; a field is its own representation."""

    name = "reference"

    def enter(self, x: Tensor, level: Level) -> Tensor:
        """Return the field itself."""
        return x

    def lift(self, z: Tensor, coarse: Level, fine: Level) -> Tensor:
        """Return the field with every vertex's value copied to its four children."""
        return unpool_vertices(z)

    def pool(self, z: Tensor, weight: Tensor, fine: Level, coarse: Level) -> Tensor:
        """Return the field one level down; see `Engine.pool`."""
        return pool_voxels(pool_vertices(z), weight)

    def mix(
        self, sources: Sequence[Tensor], level: Level, weight: Tensor, mask: Tensor, statistics: str | None
    ) -> tuple[Tensor, Statistics | None]:
        """Convolve; see `Engine.mix`."""
        x = on_grid(sources, mask)
        laplacian = _laplacian(level, x.device, x.dtype)
        z = spatio_spherical_recurrence(x, laplacian, weight, kernel_side(weight.shape[1]))
        if statistics is None:
            return z, None
        modes = torch.ones(level.vertices, device=z.device)
        return z, measured(z, modes, mask, level.vertices, statistics == "channel")

    def turn(self, z: Tensor, level: Level, scale: Tensor, shift: Tensor) -> Tensor:
        """Return the activations."""
        return self.leave(z, level, scale, shift)

    def leave(self, z: Tensor, level: Level, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Return the field, or its activations; see `Engine.leave`."""
        if scale is None or shift is None:
            return z
        return torch.relu(torch.addcmul(shift.to(z.dtype), z, scale.to(z.dtype)))
