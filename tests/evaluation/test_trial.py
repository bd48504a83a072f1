"""Methods on one phantom: the truth scores well, another answer is scored and mapped as what it is."""

from dataclasses import replace

import numpy as np
import pytest

from shd.evaluation.phantom_scores import scored_voxels
from shd.evaluation.trial import Trial
from shd.fodf.field import FodField
from shd.simulation import crossing_phantom
from shd.simulation.true_fods import true_fods


@pytest.fixture(scope="module")
def trial():
    phantom = crossing_phantom(60.0, shape=(8, 8, 6), snr=None)
    scan = phantom.scan
    truth = FodField(true_fods(phantom), {}, scan.affine, scan.mask)
    coefficients = truth.wm.copy()
    coefficients[3, 4, 2] = 0.0
    return Trial("60°", phantom, {"truth": truth, "one lost": replace(truth, wm=coefficients)})


def test_truth_finds_both_fibres(trial):
    every, two = trial.scores("truth", 0.1)
    assert two is not None
    assert two.both_fibres_found == 1.0 and two.angular_error < 2.0
    assert every.voxels == scored_voxels(trial.phantom).sum() > two.voxels > 0


def test_error_map_shows_the_voxel_that_was_lost(trial):
    lost, truth = trial.error_map("one lost", 0.1), trial.error_map("truth", 0.1)
    assert lost.degrees[3, 4, 2] == 90.0 and lost.miscounted[3, 4, 2]
    same = np.isclose(lost.degrees, truth.degrees, equal_nan=True) & (lost.miscounted == truth.miscounted)
    assert np.argwhere(~same).tolist() == [[3, 4, 2]]


def test_error_map_says_nothing_outside_white_matter(trial):
    errors = trial.error_map("truth", 0.1)
    assert (np.isnan(errors.degrees) == ~scored_voxels(trial.phantom)).all()


def test_mean_of_the_map_is_the_angular_error_where_every_voxel_has_two_fibres(trial):
    errors = trial.error_map("truth", 0.1)
    _, two = trial.scores("truth", 0.1)
    merged = (trial.phantom.fractions >= 0.1).all(axis=-1) & scored_voxels(trial.phantom)
    assert merged.sum() == two.voxels
    assert errors.degrees[merged].mean() == pytest.approx(two.angular_error)


def test_a_phantom_without_crossing_voxels_has_no_scores_of_two_fibres(trial):
    phantom = replace(trial.phantom, fractions=trial.phantom.fractions * np.array([1.0, 0.0], np.float32))
    assert Trial("one", phantom, trial.fods).scores("truth", 0.1)[1] is None
