import numpy as np
import pytest

from shd.evaluation.peak_matching import match_peaks
from shd.evaluation.peak_scores import (
    score_matches,
    score_peaks,
    scores_by_crossing_angle,
    scores_by_fibre_count,
)
from tests.evaluation import brute_force


def random_case(seed: int, voxels: int = 40, peaks: int = 4, fibres: int = 3) -> tuple[np.ndarray, ...]:
    """Peaks that are sometimes a fibre moved a little, sometimes anything; some of both absent."""
    generator = np.random.default_rng(seed)
    true = generator.normal(size=(voxels, fibres, 3))
    true /= np.linalg.norm(true, axis=-1, keepdims=True)
    found = generator.normal(size=(voxels, peaks, 3))
    found[:, :fibres] = true + generator.choice([0.1, 0.4, 2.0], size=(voxels, fibres, 1)) * found[:, :fibres]
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    amplitudes = generator.uniform(size=(voxels, peaks)) * (generator.uniform(size=(voxels, peaks)) < 0.8)
    fractions = generator.uniform(size=(voxels, fibres)) * (generator.uniform(size=(voxels, fibres)) < 0.8)
    return found, amplitudes, true, fractions


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("minimum", [0.0, 0.1, 0.4])
def test_scores_equal_brute_force(seed, threshold, minimum):
    case = random_case(seed)
    scores = score_peaks(*case, relative_threshold=threshold, minimum_fraction=minimum).as_dict()
    expected = brute_force.scores(*case, threshold, minimum)
    assert scores.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-6, err_msg=name)


def test_truth_scores_perfectly_against_itself():
    _, _, true, fractions = random_case(0, fibres=1)
    scores = score_peaks(true, fractions, true, fractions, minimum_fraction=0.0)
    assert (scores.success_rate, scores.precision, scores.recall, scores.f1) == (1.0, 1.0, 1.0, 1.0)
    assert (scores.over_estimated, scores.under_estimated) == (0.0, 0.0)
    assert scores.angular_error < 1e-6


def test_scores_of_three_voxels_counted_by_hand():
    x, y, z = np.eye(3)
    none = np.zeros(3)
    true = np.array([[x, none], [x, y], [x, y]])
    fractions = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    found = np.array([[x, z], [x, none], [x, y]])  # one too many, one too few, right
    amplitudes = np.array([[1.0, 0.5], [1.0, 0.0], [1.0, 1.0]])
    scores = score_peaks(found, amplitudes, true, fractions)
    assert scores.voxels == 3
    assert scores.angular_error == pytest.approx(90 / 5)
    assert scores.success_rate == pytest.approx(1 / 3)
    assert (scores.over_estimated, scores.under_estimated) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (scores.precision, scores.recall, scores.f1) == pytest.approx((4 / 5, 4 / 5, 4 / 5))
    assert scores.both_fibres_found == pytest.approx(1 / 2)


def test_scores_with_nothing_to_count_are_nan():
    scores = score_peaks(np.zeros((2, 1, 3)), np.zeros((2, 1)), np.zeros((2, 1, 3)), np.zeros((2, 1)))
    assert scores.success_rate == 1.0
    assert np.isnan([scores.angular_error, scores.precision, scores.recall, scores.f1]).all()


def test_no_voxels_score_nan_and_say_so():
    scores = score_peaks(np.zeros((0, 1, 3)), np.zeros((0, 1)), np.zeros((0, 1, 3)), np.zeros((0, 1)))
    assert scores.voxels == 0
    assert np.isnan(scores.success_rate)


def test_groups_by_fibre_count_are_the_scores_of_their_voxels():
    found, amplitudes, true, fractions = random_case(3, voxels=200)
    matches = match_peaks(found, amplitudes, true, fractions)
    groups = scores_by_fibre_count(matches)
    assert sorted(groups) == [0, 1, 2, 3]
    assert sum(scores.voxels for scores in groups.values()) == 200
    for count, scores in groups.items():
        inside = matches.true_count == count
        alone = score_peaks(found[inside], amplitudes[inside], true[inside], fractions[inside])
        np.testing.assert_equal(scores.as_dict(), alone.as_dict())


def test_groups_by_crossing_angle_share_out_the_two_fibre_voxels():
    matches = match_peaks(*random_case(4, voxels=300))
    groups = scores_by_crossing_angle(matches, [25.0, 45.0, 65.0, 90.0])
    assert list(groups) == [(25.0, 45.0), (45.0, 65.0), (65.0, 90.0)]
    assert sum(scores.voxels for scores in groups.values()) == np.sum(matches.true_count == 2)
    middle = (matches.crossing_angle >= 45) & (matches.crossing_angle < 65)
    np.testing.assert_equal(groups[45.0, 65.0].as_dict(), score_matches(matches.select(middle)).as_dict())


def test_right_angle_belongs_to_the_last_group():
    axes = np.eye(3)[None, :2]
    matches = match_peaks(axes, np.ones((1, 2)), axes, np.full((1, 2), 0.5))
    assert scores_by_crossing_angle(matches, [45.0, 90.0])[45.0, 90.0].voxels == 1
