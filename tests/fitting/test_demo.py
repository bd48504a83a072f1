"""The parts of the demonstration: the human data every installation has, and a fit of a crossing beside its rivals."""

import numpy as np
import pytest

from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.peak_scores import score_matches
from shd.evaluation.phantom_scores import match_phantom
from shd.fitting.demo import crossing_trial, human_scan, score_rows
from shd.fitting.progress import Progress

CSD = "CSD (b = 3000 alone)"


def test_human_scan_is_whole_and_read_without_a_warning():
    scan = human_scan()
    assert scan.data.shape == (10, 10, 10, 65) and scan.mask.all()
    assert [len(shell.volumes) for shell in scan.gradients.shells] == [1, 64]


@pytest.fixture(scope="module")
def run():
    stages: list[Progress] = []
    trial, result = crossing_trial(60.0, steps=1, shape=(8, 8, 6), report=stages.append)
    return trial, result, stages


def test_every_method_is_fitted_to_the_same_noisy_scan_with_the_exact_responses(run):
    trial, result, _ = run
    phantom = trial.phantom
    again = constrained_deconvolution(phantom.scan, response=phantom.responses[0])
    np.testing.assert_array_equal(trial.fods[CSD].wm, again.wm)
    assert result.responses == phantom.responses
    assert trial.fods["shd"] is result.fod
    assert np.abs(phantom.scan.data - phantom.noise_free).std() > 10


def test_rows_hold_the_scores_of_each_method_at_each_threshold(run):
    trial, _, _ = run
    rows = score_rows([trial])
    assert len(rows) == 2 * 3
    row = next(row for row in rows if row["method"] == CSD and row["peak_threshold"] == 0.2)
    expected = score_matches(match_phantom(trial.fods[CSD].wm, trial.phantom, relative_threshold=0.2))
    assert row["all_voxels"] == expected.as_dict()
    truth = next(row for row in rows if row["method"] == "truth" and row["peak_threshold"] == 0.1)
    assert truth["two_fibre_voxels"]["both_fibres_found"] == 1.0


def test_progress_names_the_rival_and_the_training(run):
    names = [stage.stage for stage in run[2]]
    assert names[0] == "CSD" and "training" in names
