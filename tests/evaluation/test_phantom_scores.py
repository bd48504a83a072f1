import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.evaluation.peak_scores import score_matches, scores_by_fibre_count
from shd.evaluation.phantom_scores import match_phantom, sweep_phantom
from shd.simulation import Phantom, crossing_phantom
from shd.simulation.true_fods import true_fods
from shd.sphere.rotations import random_rotation, rotate_harmonics


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return crossing_phantom(60.0, shape=(12, 12, 8), snr=None)


def test_true_fods_score_near_the_ceiling(phantom):
    matches = match_phantom(true_fods(phantom), phantom)
    scores = score_matches(matches)
    assert scores.f1 > 0.98
    assert scores.angular_error < 1.0
    assert scores_by_fibre_count(matches)[2].both_fibres_found > 0.98


def test_turned_fods_score_badly(phantom):
    turned = rotate_harmonics(true_fods(phantom), random_rotation(np.random.default_rng(3)), 12)
    assert score_matches(match_phantom(turned, phantom)).recall < 0.5


def test_voxels_more_than_half_white_matter_are_scored(phantom):
    scored = np.sum(phantom.tissue_fractions[..., 0] > 0.5)
    assert score_matches(match_phantom(true_fods(phantom), phantom)).voxels == scored


def test_sweep_agrees_with_a_single_threshold(phantom):
    sweep = sweep_phantom(true_fods(phantom), phantom)
    single = score_matches(match_phantom(true_fods(phantom), phantom, relative_threshold=0.3))
    assert sweep.scores[sweep.thresholds.index(0.3)] == single


def test_fods_of_another_grid_are_refused(phantom):
    with pytest.raises(EvaluationError, match=r"\(4, 12, 8\)"):
        match_phantom(true_fods(phantom)[:4], phantom)
