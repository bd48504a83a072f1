import itertools

import numpy as np
import pytest

from shd.scans.neighbourhood import neighbourhood_mean
from shd.scans.normalisation import NormalisedScan
from shd.simulation.protocols import CLINICAL, protocol_gradients


def scan_of(values, mask):
    rows = np.full(mask.shape, -1)
    rows[mask] = np.arange(mask.sum())
    signal = values[mask].astype(np.float32)
    return NormalisedScan(signal, np.ones(len(signal), np.float32), rows, protocol_gradients(CLINICAL), np.eye(4))


def field(shape=(4, 5, 3), seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((*shape, 33)), generator.random(shape) < 0.7


def whole(values, mask):
    scan = scan_of(values, mask)
    out = np.zeros(values.shape)
    out[mask] = neighbourhood_mean(scan, np.arange(len(scan.signal)))
    return out


def test_the_mean_equals_loops_over_masked_neighbours():
    values, mask = field()
    found = whole(values, mask)
    for voxel in np.argwhere(mask):
        total, weights = 0.0, 0.0
        for step in itertools.product((-1, 0, 1), repeat=3):
            other = tuple(voxel + step)
            if all(0 <= a < n for a, n in zip(other, mask.shape, strict=True)) and mask[other]:
                weight = np.prod([(1, 2)[s == 0] for s in step])
                total, weights = total + weight * values[other], weights + weight
        np.testing.assert_allclose(found[tuple(voxel)], total / weights, rtol=1e-5)


def test_a_constant_scan_stays_constant_up_to_the_border():
    _, mask = field()
    np.testing.assert_allclose(whole(np.full((*mask.shape, 33), 0.4), mask)[mask], 0.4, rtol=1e-6)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_turning_and_mirroring_the_grid_turns_the_mean(axes):
    values, mask = field()
    expected = np.flip(whole(values, mask).transpose(*axes, 3), 0)
    turned = whole(np.flip(values.transpose(*axes, 3), 0), np.flip(mask.transpose(axes), 0))
    np.testing.assert_allclose(turned, expected, rtol=1e-5)


def test_some_rows_are_the_same_as_in_the_whole():
    scan = scan_of(*field())
    chosen = np.array([3, 0, 11])
    every = neighbourhood_mean(scan, np.arange(len(scan.signal)))
    np.testing.assert_array_equal(neighbourhood_mean(scan, chosen), every[chosen])


@pytest.mark.parametrize("part", [slice(0, 1), slice(-1, None), slice(10, 14), slice(5, 40)])
def test_rows_at_the_grids_faces_see_no_further_than_the_grid(part):
    """In a full mask every face, edge and corner of the grid belongs to some row."""
    values, _ = field()
    scan = scan_of(values, np.ones(values.shape[:3], bool))
    every = neighbourhood_mean(scan, np.arange(len(scan.signal)))
    rows = np.arange(len(scan.signal))[part]
    np.testing.assert_array_equal(neighbourhood_mean(scan, rows), every[rows])


def test_separable_smoothing_of_numerator_and_denominator_is_the_same():
    """Signal and mask, each smoothed by 1-2-1 along one axis after the other, divided."""
    values, mask = field((6, 5, 7))
    parts = [np.where(mask[..., None], values, 0), mask[..., None].astype(float)]
    for axis in range(3):
        for index, part in enumerate(parts):
            padded = np.pad(part, [(1, 1) if a == axis else (0, 0) for a in range(4)])
            length = part.shape[axis]
            before, middle, after = (padded.take(range(s, s + length), axis) for s in range(3))
            parts[index] = before + 2 * middle + after
    np.testing.assert_allclose(whole(values, mask)[mask], (parts[0] / parts[1])[mask], rtol=1e-5)


def test_one_voxel_is_its_own_mean():
    values = np.random.default_rng(0).random((1, 1, 1, 33))
    np.testing.assert_allclose(whole(values, np.ones((1, 1, 1), bool)), values, rtol=1e-6)
