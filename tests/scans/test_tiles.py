import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.scans.tiles import Tile, covering_tiles, random_tile, tile_rows, tile_shape

grids = st.tuples(*[st.integers(1, 13)] * 3)
factors = st.sampled_from([1, 2, 4])


def rows_of(grid, seed, density=0.5):
    """Row numbers of a random mask with at least one voxel, −1 outside."""
    mask = np.random.default_rng(seed).random(grid) < density
    mask[tuple(n // 2 for n in grid)] = True
    rows = np.full(grid, -1, dtype=np.int64)
    rows[mask] = np.arange(mask.sum())
    return rows


def looped_rows(rows, tile):
    out = np.full(tile.shape, -1)
    for index in np.ndindex(*tile.shape):
        voxel = tuple(a + b for a, b in zip(tile.start, index, strict=True))
        if all(0 <= a < n for a, n in zip(voxel, rows.shape, strict=True)):
            out[index] = rows[voxel]
    return out


@settings(deadline=None, max_examples=60)
@given(grid=grids, core=st.integers(1, 3), halo=st.integers(0, 2), factor=factors, seed=st.integers(0, 99))
def test_cores_hold_every_masked_voxel_exactly_once(grid, core, halo, factor, seed):
    rows = rows_of(grid, seed, density=0.1)
    seen = [tile_rows(rows, core) for _, core in covering_tiles(rows, core * factor, halo * factor, factor)]
    held = np.concatenate([part[part >= 0] for part in seen])
    np.testing.assert_array_equal(np.sort(held), np.arange(rows.max() + 1))
    assert all((part >= 0).any() for part in seen)


@settings(deadline=None, max_examples=40)
@given(grid=grids, core=st.integers(1, 3), halo=st.integers(0, 2), factor=factors)
def test_tiles_are_their_cores_with_a_halo_on_the_pooling_lattice(grid, core, halo, factor):
    for tile, inner in covering_tiles(rows_of(grid, 0), core * factor, halo * factor, factor):
        assert all(a == b - halo * factor for a, b in zip(tile.start, inner.start, strict=True))
        assert all(a == b + 2 * halo * factor for a, b in zip(tile.shape, inner.shape, strict=True))
        assert all(a % factor == 0 for a in (*tile.start, *tile.shape, *inner.start, *inner.shape))


def test_one_core_covers_a_small_grid():
    tiles = list(covering_tiles(rows_of((5, 3, 1), 0), core=16, halo=8, factor=2))
    assert tiles == [(Tile((-8, -8, -8), (22, 20, 18)), Tile((0, 0, 0), (6, 4, 2)))]


def test_an_empty_mask_needs_no_tile():
    assert list(covering_tiles(np.full((4, 4, 4), -1), 2, 2, 2)) == []


@settings(deadline=None, max_examples=60)
@given(grid=grids, side=st.integers(1, 4), factor=factors, seed=st.integers(0, 99))
def test_random_tiles_hold_a_masked_voxel_and_keep_to_the_grid(grid, side, factor, seed):
    rows = rows_of(grid, seed, density=0.02)
    shape = tile_shape(grid, side * factor, factor)
    tile = random_tile(rows, np.argwhere(rows >= 0), shape, np.random.default_rng(seed))
    assert tile.shape == shape
    assert (tile_rows(rows, tile) >= 0).any()
    for start, length, limit in zip(tile.start, shape, grid, strict=True):
        assert start == 0 if length >= limit else 0 <= start <= limit - length


def test_random_tiles_reach_every_voxel():
    """Each voxel of a full grid is drawn, the corners too, and the same generator draws the same tiles."""
    rows = rows_of((6, 5, 4), 0, density=1.1)
    voxels, first, second = np.argwhere(rows >= 0), np.random.default_rng(0), np.random.default_rng(0)
    tiles = [random_tile(rows, voxels, (2, 2, 2), first) for _ in range(400)]
    assert len(np.unique(np.concatenate([tile_rows(rows, t).ravel() for t in tiles]))) == rows.size
    assert tiles == [random_tile(rows, voxels, (2, 2, 2), second) for _ in range(400)]


@settings(deadline=None, max_examples=60)
@given(
    grid=grids,
    start=st.tuples(*[st.integers(-9, 15)] * 3),
    shape=st.tuples(*[st.integers(1, 8)] * 3),
)
def test_rows_of_a_tile_are_minus_one_beyond_the_grid(grid, start, shape):
    rows, tile = rows_of(grid, 1), Tile(start, shape)
    np.testing.assert_array_equal(tile_rows(rows, tile), looped_rows(rows, tile))


@given(grid=grids, side=st.integers(1, 5), factor=factors)
def test_tiles_are_no_larger_than_a_short_grid_needs(grid, side, factor):
    for size, length in zip(tile_shape(grid, side * factor, factor), grid, strict=True):
        assert size % factor == 0
        assert size == side * factor or length <= size < length + factor


def test_sides_that_cannot_be_pooled_are_refused():
    with pytest.raises(ValueError, match="tile side 7 is not a multiple of 2"):
        tile_shape((9, 9, 9), 7, 2)
    with pytest.raises(ValueError, match="core 6 and halo 3 must be multiples of 2"):
        list(covering_tiles(rows_of((9, 9, 9), 0), 6, 3, 2))
