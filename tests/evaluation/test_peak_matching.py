import numpy as np
import pytest

from shd.evaluation.peak_matching import match_peaks, merge_fibres
from shd.sphere.rotations import random_rotation
from tests.evaluation import brute_force

X, Y, Z = np.eye(3)


def at(*degrees: float) -> np.ndarray:
    """One voxel's axes in the xy plane, at angles from x."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians), np.zeros(len(degrees))], axis=-1)[None]


def amounts(*values: float) -> np.ndarray:
    return np.array([values])


def test_fibres_closer_than_the_match_angle_become_their_weighted_mean():
    directions, fractions = merge_fibres(at(0, 20, 90), amounts(0.3, 0.1, 0.5))
    np.testing.assert_allclose(fractions, [[0.4, 0.0, 0.5]])
    mean = 0.3 * at(0)[0, 0] + 0.1 * at(20)[0, 0]
    np.testing.assert_allclose(directions[0, 0], mean / np.linalg.norm(mean), atol=1e-12)
    np.testing.assert_allclose(directions[0, 2], Y, atol=1e-12)


def test_merging_knows_no_head_or_tail():
    directions, fractions = merge_fibres(np.stack([at(0)[:, 0], -at(10)[:, 0]], axis=1), amounts(0.5, 0.5))
    assert brute_force.angle(directions[0, 0], at(5)[0, 0]) < 1e-4
    np.testing.assert_allclose(fractions, [[1.0, 0.0]])


def test_fibres_at_the_match_angle_or_beyond_stay():
    directions, fractions = merge_fibres(at(0, 25.01), amounts(0.5, 0.5))
    np.testing.assert_allclose(fractions, [[0.5, 0.5]])
    np.testing.assert_allclose(directions, at(0, 25.01))


def test_absent_fibres_do_not_merge():
    _, fractions = merge_fibres(at(0, 5, 60), amounts(0.5, 0.0, 0.5))
    np.testing.assert_allclose(fractions, [[0.5, 0.0, 0.5]])


def test_merging_equals_brute_force_on_many_random_voxels():
    generator = np.random.default_rng(2)
    directions = generator.normal(size=(300, 5, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    fractions = generator.uniform(size=(300, 5)) * (generator.uniform(size=(300, 5)) < 0.8)
    merged_directions, merged_fractions = merge_fibres(directions, fractions)
    for voxel in range(300):
        expected = brute_force.merged(directions[voxel], fractions[voxel])
        present = merged_fractions[voxel] > 0
        np.testing.assert_allclose(merged_fractions[voxel, present], [w for _, w in expected])
        np.testing.assert_allclose(
            merged_directions[voxel, present], np.array([d for d, _ in expected]).reshape(-1, 3), atol=1e-12
        )


def test_one_peak_between_two_fibres_matches_one_of_them():
    matches = match_peaks(at(12), amounts(1.0), at(0, 30), amounts(0.5, 0.5))
    assert (matches.true_count[0], matches.found_count[0], matches.matched[0]) == (2, 1, 1)
    np.testing.assert_allclose(matches.errors, [[12.0, 18.0]], atol=1e-9)


def test_two_peaks_near_one_fibre_match_it_once():
    matches = match_peaks(at(-10, 8), amounts(1.0, 0.9), at(0), amounts(0.9))
    assert (matches.true_count[0], matches.found_count[0], matches.matched[0]) == (1, 2, 1)
    np.testing.assert_allclose(matches.errors, [[8.0]], atol=1e-9)


@pytest.mark.parametrize(("degrees", "matched"), [(24.9, 1), (25.1, 0)])
def test_match_ends_at_25_degrees(degrees, matched):
    assert match_peaks(at(degrees), amounts(1.0), at(0), amounts(1.0)).matched[0] == matched


def test_peaks_below_the_relative_threshold_are_not_found():
    arguments = (at(0, 90), amounts(1.0, 0.3), at(0, 90), amounts(0.5, 0.5))
    assert match_peaks(*arguments, relative_threshold=0.31).found_count[0] == 1
    assert match_peaks(*arguments, relative_threshold=0.29).found_count[0] == 2


def test_fibres_below_the_minimum_fraction_are_not_counted():
    arguments = (at(0, 90), amounts(1.0, 1.0), at(0, 90), amounts(0.5, 0.09))
    assert match_peaks(*arguments).true_count[0] == 1
    assert match_peaks(*arguments, minimum_fraction=0.05).true_count[0] == 2


def test_voxel_without_peaks_is_ninety_degrees_wrong():
    matches = match_peaks(np.zeros((1, 2, 3)), amounts(0.0, 0.0), at(0, 90), amounts(0.5, 0.5))
    assert (matches.found_count[0], matches.matched[0]) == (0, 0)
    np.testing.assert_array_equal(matches.errors, [[90.0, 90.0]])


def test_absent_peaks_may_be_nan_as_mrtrix_writes_them():
    directions, amplitudes = at(3, 0), amounts(1.0, np.nan)
    directions[0, 1] = np.nan
    matches = match_peaks(directions, amplitudes, at(0), amounts(1.0))
    assert (matches.found_count[0], matches.matched[0]) == (1, 1)
    np.testing.assert_allclose(matches.errors, [[3.0]], atol=1e-9)


def test_voxel_without_fibres_has_no_error():
    matches = match_peaks(at(0), amounts(1.0), at(0, 0), amounts(0.0, 0.0))
    assert (matches.true_count[0], matches.found_count[0], matches.matched[0]) == (0, 1, 0)
    assert np.isnan(matches.errors).all()


def test_no_peaks_at_all_is_an_empty_axis_not_an_error():
    matches = match_peaks(np.zeros((1, 0, 3)), np.zeros((1, 0)), at(0), amounts(1.0))
    assert (matches.found_count[0], matches.errors[0, 0]) == (0, 90.0)


def test_crossing_angle_is_of_the_counted_fibres_of_two_fibre_voxels():
    directions = np.concatenate([at(0, 60, 90), at(0, 60, 90), at(0, 10, 50)])
    fractions = np.array([[0.5, 0.4, 0.05], [0.3, 0.3, 0.3], [0.9, 0.0, 0.0]])
    matches = match_peaks(directions, np.ones((3, 3)), directions, fractions)
    np.testing.assert_allclose(matches.crossing_angle, [60.0, np.nan, np.nan], atol=1e-9)


def test_outcome_does_not_change_under_rotations_signs_and_order():
    generator = np.random.default_rng(7)
    axes = generator.normal(size=(50, 7, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    found, true = axes[:, :4], axes[:, 4:]
    amplitudes, fractions = generator.uniform(0.1, 1, size=(50, 4)), generator.uniform(0.1, 1, size=(50, 3))
    rotation, signs = random_rotation(generator), generator.choice([-1.0, 1.0], size=(50, 4, 1))
    first = match_peaks(found, amplitudes, true, fractions)
    second = match_peaks((signs * found @ rotation.T)[:, ::-1], amplitudes[:, ::-1], true @ rotation.T, fractions)
    np.testing.assert_array_equal(first.matched, second.matched)
    np.testing.assert_allclose(first.errors, second.errors, atol=1e-9)
