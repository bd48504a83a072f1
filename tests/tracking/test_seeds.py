"""Seeds: inside their voxels, evenly spread, the same for the same random seed, along peaks by their amplitude."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import ScanError
from shd.fodf.peaks import find_peaks
from shd.tracking.field import tracking_field
from shd.tracking.seeds import BATCH, initial_directions, seed_batches
from shd.tracking.settings import settings_for
from shd.tracking.tissues import white_matter
from tests.support.affines import AFFINES
from tests.tracking.phantoms import PEAK, crossing_field, straight_field

FIELD = tracking_field(straight_field(AFFINES["oblique"]))


def batches(field=FIELD, where=None, **choices):
    settings = settings_for(field.voxel_sizes, **choices)
    return list(seed_batches(field, field.mask if where is None else where, settings))


def test_each_voxel_gets_its_number_of_seeds():
    given = batches(seeds_per_voxel=3)
    voxels = np.rint(np.concatenate([seeds.points for _, seeds in given])).astype(int)
    found, counts = np.unique(voxels, axis=0, return_counts=True)
    assert sum(count for count, _ in given) == 3 * FIELD.mask.sum()
    assert (counts == 3).all() and len(found) == FIELD.mask.sum()


def test_a_count_of_seeds_is_spread_evenly():
    points = np.concatenate([seeds.points for _, seeds in batches(seed_count=4 * BATCH + 1)])
    assert len(points) == 4 * BATCH + 1
    assert FIELD.mask[tuple(np.rint(points).astype(int).T)].all()
    np.testing.assert_allclose(points.mean(axis=0), np.argwhere(FIELD.mask).mean(axis=0), atol=0.1)
    np.testing.assert_allclose((points - np.rint(points)).std(axis=0), 1 / np.sqrt(12), atol=0.005)


def test_seeds_per_voxel_come_in_random_order():
    points = batches(seeds_per_voxel=1)[0][1].points
    half = points[: len(points) // 2, 0].mean()
    assert abs(half - points[:, 0].mean()) < 0.5  # half of the seeds are of the whole volume


def test_the_same_random_seed_gives_the_same_seeds():
    one, again, other = (batches(seed_count=100, seed=seed)[0][1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.points, again.points)
    np.testing.assert_array_equal(one.directions, again.directions)
    assert not np.array_equal(one.points, other.points)


def test_fewer_seeds_are_the_first_of_more():
    few, many = (batches(seed_count=BATCH * number)[0][1] for number in (1, 2))
    np.testing.assert_array_equal(few.points, many.points)


def test_peaks_are_followed_in_proportion_to_their_amplitudes():
    field = tracking_field(crossing_field(lesser=1 / 3))
    chance = (np.arange(3000) + 0.5) / 3000
    directions, found = initial_directions(field, np.zeros(3000, dtype=int), 0.1, chance)
    assert found.all()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0, rtol=1e-6)
    heights = find_peaks(field.coefficients[:1], count=4).amplitudes[0]
    assert np.mean(np.abs(directions[:, 0]) > 0.9) == pytest.approx(heights[0] / heights.sum(), abs=0.001)


def test_peaks_below_the_cutoff_are_not_followed_and_voxels_without_any_are_left_out():
    field = tracking_field(crossing_field(lesser=1 / 3))
    directions, found = initial_directions(field, np.zeros(50, dtype=int), 0.5 * PEAK, np.linspace(0, 0.999, 50))
    assert found.all() and (np.abs(directions[:, 0]) > 0.9).all()
    directions, found = initial_directions(field, np.zeros(5, dtype=int), 2 * PEAK, np.linspace(0, 0.999, 5))
    assert not found.any()
    given = batches(field, seed_count=10, cutoff=2 * PEAK)
    assert [(count, len(seeds.points)) for count, seeds in given] == [(10, 0)]


def test_seeds_outside_the_fods_are_refused():
    with pytest.raises(ScanError, match="0 of 0 seed voxels hold an fODF"):
        batches(where=np.zeros(FIELD.rows.shape, bool))


def test_white_matter_is_where_fibres_take_more_than_half():
    amounts = {"wm": np.linspace(0, 1, len(FIELD.coefficients), dtype=np.float32)}
    amounts["gm"] = 1 - amounts["wm"]
    field = replace(FIELD, amounts=amounts)
    np.testing.assert_array_equal(white_matter(field)[field.mask], (amounts["wm"] > 0.5)[field.rows[field.mask]])


def test_white_matter_of_a_single_shell_is_where_fodfs_are_least_round():
    """Grey matter's fODF, with as much l = 0 as white matter's, is a small share as far from a sphere."""
    shares = np.linspace(0, 1, len(FIELD.coefficients), dtype=np.float32)
    coefficients = FIELD.coefficients * np.where(np.arange(45) > 0, shares[:, None], 1.0).astype(np.float32)
    field = replace(FIELD, coefficients=coefficients)
    np.testing.assert_array_equal(white_matter(field)[field.mask], (shares > 0.475)[field.rows[field.mask]])
