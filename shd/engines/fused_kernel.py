"""Kernels in Triton for what costs the torch engine most memory traffic on a GPU. Imported only where Triton is.

Arithmetic is in single precision, whatever the storage. A grid of programs has one axis; the fastest part of its index
is the tile. `_kernel`s read and write whole tensors in their contiguous order; the plain functions are their parts.
"""

from typing import no_type_check

import triton
import triton.language as tl

__all__ = [
    "activation_gradient_kernel", "activation_kernel", "column_sums_gradient_kernel", "column_sums_kernel",
    "neighbour_spread_kernel", "neighbour_sums_kernel",
]  # fmt: skip

# Sizes that a kernel is not compiled anew for, whatever they divide; alignment comes from channels or columns.
_SIZES, _ROWS = ("nx", "ny", "nz", "tiles", "parts"), ("rows", "tiles")


@triton.jit
@no_type_check
def _at(source, offsets, inside):
    return tl.load(source + offsets, mask=inside, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def _beside(source, at, row, step, down, up, back, on):
    """Sum over the four voxels of the plane that share a face; down, up, back, on: where there is one on that side."""
    rows = _at(source, at - row, down) + _at(source, at + row, up)
    return rows + (_at(source, at - step, back) + _at(source, at + step, on))


@triton.jit
@no_type_check
def _across(source, at, row, step, down, up, back, on):
    """Sum over the four voxels of the plane that share an edge."""
    below = _at(source, at - row - step, down & back) + _at(source, at - row + step, down & on)
    return below + (_at(source, at + row - step, up & back) + _at(source, at + row + step, up & on))


@triton.jit
@no_type_check
def _plane_sums(source, at, row, step, here, down, up, back, on, valid):
    """Return a plane's own values and its sums over faces and edges; zero where it is not `valid`."""
    down, up, back, on = down & valid, up & valid, back & valid, on & valid
    face = _beside(source, at, row, step, down, up, back, on)
    return _at(source, at, here & valid), face, _across(source, at, row, step, down, up, back, on)


@triton.jit(do_not_specialize=_SIZES)
@no_type_check
def neighbour_sums_kernel(
    source, target, nx, ny, nz, tiles, parts, channels: tl.constexpr, steps: tl.constexpr, block: tl.constexpr
):
    """Write for each voxel the sums over 1, 6, 12 and 8 voxels at the four distances, channels of one after the other.

    A program takes `block` numbers of a plane (y, z, channel) and walks along x over `steps` planes. Of the planes
    before and after it keeps the sums within the plane, so that each is read nine times and not twenty-seven.
    """
    program = tl.program_id(0)
    first = (program // tiles) % parts * steps
    volume = (program // tiles // parts).to(tl.int64)
    at = (program % tiles) * block + tl.arange(0, block)
    voxel = at // channels
    y, z = voxel // nz, voxel % nz
    row, plane = nz * channels, ny * nz * channels
    here = at < plane
    down, up, back, on = here & (y > 0), here & (y + 1 < ny), here & (z > 0), here & (z + 1 < nz)
    own = voxel * (4 * channels) + at % channels
    source += (volume * nx + first - 1) * plane
    target += (volume * nx + first) * plane * 4

    self0, face0, edge0 = _plane_sums(source, at, row, channels, here, down, up, back, on, first > 0)
    source += plane
    self1, face1, edge1 = _plane_sums(source, at, row, channels, here, down, up, back, on, first < nx)
    for step in range(steps):
        source += plane
        self2, face2, edge2 = _plane_sums(
            source, at, row, channels, here, down, up, back, on, first + step + 1 < nx
        )
        inside = here & (first + step < nx)
        tl.store(target + own, self1, mask=inside)
        tl.store(target + own + channels, face1 + (self0 + self2), mask=inside)
        tl.store(target + own + 2 * channels, edge1 + (face0 + face2), mask=inside)
        tl.store(target + own + 3 * channels, edge0 + edge2, mask=inside)
        target += 4 * plane
        self0, face0, edge0 = self1, face1, edge1
        self1, face1, edge1 = self2, face2, edge2


@triton.jit
@no_type_check
def _plane_shares(source, at, row, step, channels: tl.constexpr, here, down, up, back, on, valid):
    """Return what a plane of the four fields gives to itself and to each plane beside it."""
    here, down, up, back, on = here & valid, down & valid, up & valid, back & valid, on & valid
    kept = _at(source, at, here)
    kept += _beside(source, at + channels, row, step, down, up, back, on)
    kept += _across(source, at + 2 * channels, row, step, down, up, back, on)
    given = _at(source, at + channels, here)
    given += _beside(source, at + 2 * channels, row, step, down, up, back, on)
    given += _across(source, at + 3 * channels, row, step, down, up, back, on)
    return kept, given


@triton.jit(do_not_specialize=_SIZES)
@no_type_check
def neighbour_spread_kernel(
    source, target, nx, ny, nz, tiles, parts, channels: tl.constexpr, steps: tl.constexpr, block: tl.constexpr
):
    """Write the adjoint: of four fields, channels one after the other, the sum of each over the voxels at its distance.

    A program walks as that of `neighbour_sums_kernel` does.
    """
    program = tl.program_id(0)
    first = (program // tiles) % parts * steps
    volume = (program // tiles // parts).to(tl.int64)
    at = (program % tiles) * block + tl.arange(0, block)
    voxel = at // channels
    y, z = voxel // nz, voxel % nz
    width, row, plane = 4 * channels, 4 * nz * channels, ny * nz * channels
    here = at < plane
    down, up, back, on = here & (y > 0), here & (y + 1 < ny), here & (z > 0), here & (z + 1 < nz)
    own = voxel * width + at % channels
    source += (volume * nx + first - 1) * plane * 4
    target += (volume * nx + first) * plane

    _, given0 = _plane_shares(source, own, row, width, channels, here, down, up, back, on, first > 0)
    source += 4 * plane
    kept1, given1 = _plane_shares(source, own, row, width, channels, here, down, up, back, on, first < nx)
    for step in range(steps):
        source += 4 * plane
        kept2, given2 = _plane_shares(
            source, own, row, width, channels, here, down, up, back, on, first + step + 1 < nx
        )
        tl.store(target + at, kept1 + (given0 + given2), mask=here & (first + step < nx))
        target += plane
        given0, kept1, given1 = given1, kept2, given2


@triton.jit(do_not_specialize=_ROWS)
@no_type_check
def activation_kernel(field, scale, shift, target, rows, columns, tiles, steps: tl.constexpr, block: tl.constexpr):
    """Write max(scale·field + shift, 0), scale and shift having one row; not a number stays what it is."""
    program = tl.program_id(0)
    first = program // tiles * steps
    at = (program % tiles) * block + tl.arange(0, block)
    here = at < columns
    factor, summand = _at(scale, at, here), _at(shift, at, here)
    field += first.to(tl.int64) * columns
    target += first.to(tl.int64) * columns
    for step in range(steps):
        inside = here & (first + step < rows)
        value = _at(field, at, inside) * factor + summand
        tl.store(target + at, tl.where(value <= 0, 0.0, value), mask=inside)
        field += columns
        target += columns


@triton.jit(do_not_specialize=_ROWS)
@no_type_check
def activation_gradient_kernel(
    field, scale, shift, gradient, to_field, to_scale, to_shift, rows, columns, tiles,
    steps: tl.constexpr, block: tl.constexpr,
):
    """Write the gradients by field, scale and shift; those of the last two are sums over a part of the rows."""
    program = tl.program_id(0)
    part = program // tiles
    first = part * steps
    at = (program % tiles) * block + tl.arange(0, block)
    here = at < columns
    factor, summand = _at(scale, at, here), _at(shift, at, here)
    by_scale, by_shift = tl.full((block,), 0.0, tl.float32), tl.full((block,), 0.0, tl.float32)
    start = first.to(tl.int64) * columns
    field += start
    gradient += start
    to_field += start
    for step in range(steps):
        inside = here & (first + step < rows)
        value = _at(field, at, inside)
        passed = tl.where(value * factor + summand <= 0, 0.0, _at(gradient, at, inside))
        tl.store(to_field + at, passed * factor, mask=inside)
        by_scale += passed * value
        by_shift += passed
        field += columns
        gradient += columns
        to_field += columns
    tl.store(to_scale + part.to(tl.int64) * columns + at, by_scale, mask=here)
    tl.store(to_shift + part.to(tl.int64) * columns + at, by_shift, mask=here)


@triton.jit(do_not_specialize=_ROWS)
@no_type_check
def column_sums_kernel(field, weights, power, total, rows, columns, tiles, steps: tl.constexpr, block: tl.constexpr):
    """Write Σ field² and Σ weight·field over a part of the rows; a row has one weight."""
    program = tl.program_id(0)
    part = program // tiles
    first = part * steps
    at = (program % tiles) * block + tl.arange(0, block)
    here = at < columns
    squares, products = tl.full((block,), 0.0, tl.float32), tl.full((block,), 0.0, tl.float32)
    field += first.to(tl.int64) * columns
    for step in range(steps):
        inside = here & (first + step < rows)
        value = _at(field, at, inside)
        squares += value * value
        products += value * tl.load(weights + first + step, mask=first + step < rows, other=0.0)
        field += columns
    tl.store(power + part.to(tl.int64) * columns + at, squares, mask=here)
    tl.store(total + part.to(tl.int64) * columns + at, products, mask=here)


@triton.jit(do_not_specialize=_ROWS)
@no_type_check
def column_sums_gradient_kernel(
    field, weights, of_power, of_total, target, rows, columns, tiles, steps: tl.constexpr, block: tl.constexpr
):
    """Write the gradient by the field: 2·field·of_power + weight·of_total."""
    program = tl.program_id(0)
    first = program // tiles * steps
    at = (program % tiles) * block + tl.arange(0, block)
    here = at < columns
    twice, other = 2.0 * _at(of_power, at, here), _at(of_total, at, here)
    field += first.to(tl.int64) * columns
    target += first.to(tl.int64) * columns
    for step in range(steps):
        inside = here & (first + step < rows)
        weight = tl.load(weights + first + step, mask=first + step < rows, other=0.0)
        tl.store(target + at, _at(field, at, inside) * twice + weight * other, mask=inside)
        field += columns
        target += columns
