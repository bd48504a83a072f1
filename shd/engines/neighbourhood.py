"""Sums over a voxel's neighbours, one sum per distance: the spatial half of the isotropic convolution.

A kernel that depends on distance alone needs only the sum of the neighbours at each distance (4 sums for 3×3×3), not
27 taps. The sums factor over the axes: with A_d f(x) = f(x+d) + f(x−d), every class is a sum of products of A_d.
Outside the volume counts as zero. `neighbour_sums` and `neighbour_spread` are each other's adjoints.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from shd.graphs.spatial import distance_classes

__all__ = ["kernel_side", "neighbour_spread", "neighbour_sums", "on_grid", "pool_voxels", "unpool_voxels"]

_FIRST_AXIS = 2  # tensors are (vertex, batch, x, y, z, ...)


def _axis_pair(source: Tensor, axis: int, distance: int) -> Tensor:
    """Return f(x+d) + f(x−d) along `axis`; for d = 0, f itself (the same tensor)."""
    if distance == 0:
        return source
    target = torch.empty_like(source)
    length = source.shape[axis] - distance
    if length <= 0:
        return target.zero_()
    target.narrow(axis, 0, distance).zero_()
    target.narrow(axis, distance, length).copy_(source.narrow(axis, 0, length))
    target.narrow(axis, 0, length).add_(source.narrow(axis, distance, length))
    return target


def _accumulate(parts: list[Tensor | None], owned: set[int], index: int, value: Tensor, fresh: bool) -> None:
    """Add `value` to parts[index], without ever writing into a tensor that is shared."""
    current = parts[index]
    if current is None:
        parts[index] = value
        if fresh:
            owned.add(index)
    elif index in owned:
        current.add_(value)
    else:
        parts[index] = current + value
        owned.add(index)


def _sums(x: Tensor, size: int) -> tuple[Tensor, ...]:
    """Every sum is a contiguous tensor of its own: strided targets would cost five times as much."""
    reach, classes = range(size // 2 + 1), distance_classes(size)
    parts: list[Tensor | None] = [None] * len(classes)
    owned: set[int] = set()
    for a in reach:
        plane = _axis_pair(x, _FIRST_AXIS, a)
        for b in reach:
            line = _axis_pair(plane, _FIRST_AXIS + 1, b)
            for c in reach[::-1]:
                value = _axis_pair(line, _FIRST_AXIS + 2, c)
                # `line` is still needed for smaller c, so only a tensor made for this c may be added to in place
                _accumulate(parts, owned, classes.index(a * a + b * b + c * c), value, fresh=c > 0)
    return tuple(part for part in parts if part is not None)


def _spread(z: tuple[Tensor, ...], size: int) -> Tensor:
    """Nested over the axes, so that one shift serves everything inside it."""
    reach, classes = range(size // 2 + 1), distance_classes(size)

    def along(axis: int, squared: int) -> Tensor:
        if axis == 3:
            return z[classes.index(squared)]
        total = along(axis + 1, squared)
        for d in reach[1:]:
            total = total + _axis_pair(along(axis + 1, squared + d * d), _FIRST_AXIS + axis, d)
        return total

    return along(0, 0)


class _NeighbourSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, size: int) -> tuple[Tensor, ...]:  # type: ignore[no-untyped-def]
        ctx.size = size
        first, *others = _sums(x.contiguous(), size)
        return first.view_as(first), *others

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        return _NeighbourSpread.apply(ctx.size, *gradients), None


class _NeighbourSpread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, size: int, *z: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.size = size
        return _spread(tuple(part.contiguous() for part in z), size)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        return None, *_NeighbourSums.apply(gradient, ctx.size)


def neighbour_sums(x: Float[Tensor, "vertex batch x y z channel"], size: int) -> tuple[Tensor, ...]:
    """Return for each distance of a size³ kernel the sum of the neighbours there (first the voxel itself).

    Every tensor has the shape of `x`.
    """
    return (x,) if size == 1 else _NeighbourSums.apply(x, size)


def neighbour_spread(z: tuple[Tensor, ...], size: int) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return Σ_r S_r z_r: each tensor summed over the neighbours at its distance; the adjoint of `neighbour_sums`."""
    return z[0] if size == 1 else _NeighbourSpread.apply(size, *z)


def kernel_side(radii: int) -> int:
    """Return how many voxels a side a kernel with this number of distances has."""
    return {len(distance_classes(size)): size for size in (1, 3, 5)}[radii]


def on_grid(sources: Sequence[Tensor], mask: Float[Tensor, "batch x y z 1"]) -> Tensor:
    """Return the sources' channels together on the mask's grid; one on half the grid has its voxels copied to 2×2×2."""
    whole = [source if source.shape[1:5] == mask.shape[:4] else unpool_voxels(source) for source in sources]
    return whole[0] if len(whole) == 1 else torch.cat(whole, dim=-1)


def unpool_voxels(x: Float[Tensor, "vertex batch x2 y2 z2 channel"]) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return every block's value copied to its 2×2×2 voxels."""
    vertices, batch, nx, ny, nz, channels = x.shape
    wide = x[:, :, :, None, :, None, :, None].expand(vertices, batch, nx, 2, ny, 2, nz, 2, channels)
    return wide.reshape(vertices, batch, 2 * nx, 2 * ny, 2 * nz, channels)


def pool_voxels(
    x: Float[Tensor, "row batch x y z channel"], weight: Float[Tensor, "batch x2 y2 z2"]
) -> Float[Tensor, "row batch x2 y2 z2 channel"]:
    """Return `weight` times the sum over 2×2×2 voxels, or over one where it has the field's own grid."""
    if x.shape[1:5] != weight.shape:
        x = x.unflatten(-4, (-1, 2)).unflatten(-3, (-1, 2)).unflatten(-2, (-1, 2)).sum(dim=(-6, -4, -2))
    return x * weight.unsqueeze(-1).to(x.dtype)
