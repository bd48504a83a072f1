"""Boxes of voxels cut from a scan: random ones to train on, overlapping ones that cover the mask to infer on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Int

__all__ = ["Tile", "covering_tiles", "mask_spans", "random_tile", "split_span", "tile_rows", "tile_shape"]


@dataclass(frozen=True)
class Tile:
    """A box of the voxel grid, which may reach beyond it: first voxel and size along x, y, z."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]


def tile_shape(grid: tuple[int, ...], side: int, factor: int) -> tuple[int, int, int]:
    """Return `side` along each axis, or the axis rounded up to a multiple of `factor` where it is shorter."""
    if side % factor:
        raise ValueError(f"tile side {side} is not a multiple of {factor}, the network's spatial pooling")
    x, y, z = (min(side, -(-length // factor) * factor) for length in grid)
    return x, y, z


def random_tile(
    rows: Int[np.ndarray, "x y z"],
    voxels: Int[np.ndarray, "voxel 3"],
    shape: tuple[int, int, int],
    generator: np.random.Generator,
) -> Tile:
    """Return a tile that holds a voxel drawn from the mask, at a random place in it, inside the grid where it fits."""
    centre = voxels[generator.integers(len(voxels))]
    start = []
    for axis in range(3):
        lowest = int(centre[axis]) - int(generator.integers(shape[axis]))
        start.append(min(max(lowest, 0), max(rows.shape[axis] - shape[axis], 0)))
    return Tile((start[0], start[1], start[2]), shape)


def mask_spans(rows: Int[np.ndarray, "x y z"], factor: int) -> tuple[tuple[int, int], ...]:
    """Return first voxel and end of the mask along each axis, the first a multiple of `factor`; empty without mask."""
    spans = [np.flatnonzero((rows >= 0).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(spans[0]):
        return ()
    return tuple((int(span[0]) // factor * factor, int(span[-1]) + 1) for span in spans)


def covering_tiles(
    rows: Int[np.ndarray, "x y z"], core: int | tuple[int, int, int], halo: int, factor: int
) -> Iterator[tuple[Tile, Tile]]:
    """Yield (tile, core) pairs: the cores split the box around the mask evenly, each tile is its core with a halo.

    `core` is the longest side of a core, for all axes or for each; cores without mask are left out. Starts are
    multiples of `factor`, so that pooling blocks fall on the same voxels in every tile and in a whole-volume pass.
    """
    longest = core if isinstance(core, tuple) else (core,) * 3
    if halo % factor or any(length % factor for length in longest):
        raise ValueError(f"core {core} and halo {halo} must be multiples of {factor}, the network's spatial pooling")
    spans = mask_spans(rows, factor)
    splits = [split_span(first, end, length, factor) for (first, end), length in zip(spans, longest, strict=False)]
    for parts in product(*splits) if splits else ():
        start, size = zip(*parts, strict=True)
        inner = Tile(start, size)
        if (tile_rows(rows, inner) >= 0).any():
            wide = Tile(tuple(first - halo for first in start), tuple(length + 2 * halo for length in size))
            yield wide, inner


def split_span(start: int, stop: int, longest: int, factor: int) -> list[tuple[int, int]]:
    """Return (start, length) of as few parts as `longest` allows, about equally long, multiples of `factor`."""
    parts = -(-(stop - start) // longest)
    length = -(-(stop - start) // (parts * factor)) * factor
    return [(first, min(length, -(-(stop - first) // factor) * factor)) for first in range(start, stop, length)]


def tile_rows(rows: Int[np.ndarray, "x y z"], tile: Tile) -> Int[np.ndarray, "tx ty tz"]:
    """Return the scan row of every voxel of the tile, −1 outside the mask and outside the grid."""
    out = np.full(tile.shape, -1, dtype=rows.dtype)
    source, target = [], []
    for first, length, limit in zip(tile.start, tile.shape, rows.shape, strict=True):
        low, high = max(first, 0), min(first + length, limit)
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    if all(s.stop > s.start for s in source):
        out[tuple(target)] = rows[tuple(source)]
    return out
