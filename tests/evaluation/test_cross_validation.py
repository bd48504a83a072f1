"""Held-out directions: the truth predicts to the noise, others worse, and no method sees what it is asked."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.cross_validation import cross_validate, with_volumes
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.simulation import crossing_phantom
from shd.simulation.protocols import HARDI


@pytest.fixture(scope="module")
def phantom():
    return crossing_phantom(60.0, shape=(8, 8, 5), snr=30.0)


def true_answer(phantom):
    truth = Truth.of(phantom)
    tissues = {name: truth.tissue_fractions[..., n] / np.sqrt(4 * np.pi) for n, name in ((1, "gm"), (2, "csf"))}
    return lambda scan, responses: FodField(truth.fods, tissues, truth.affine, truth.mask)


def test_the_truth_predicts_to_the_noise(phantom):
    white = Truth.of(phantom).scored
    noise = np.random.default_rng(0).normal(0, 1000 / 30, size=phantom.noise_free.shape)  # without Rice's bias
    scan = replace(phantom.scan, data=phantom.noise_free + noise)
    prediction = cross_validate(true_answer(phantom), scan, phantom.responses, voxels=white)
    assert prediction.relative == pytest.approx(1.0, abs=0.02)
    assert [(shell.bvalue, shell.directions) for shell in prediction.shells] == [(1000, 30), (2000, 30), (3000, 60)]
    for shell in prediction.shells:
        assert shell.noise == pytest.approx(1000 / 30, rel=0.1)
        assert shell.relative == pytest.approx(shell.error / shell.noise) == pytest.approx(1.0, abs=0.1)
    assert np.isfinite(prediction.voxels).sum() == white.sum()
    assert np.sqrt(np.mean(prediction.voxels[white] ** 2)) == pytest.approx(prediction.relative)


def test_every_direction_is_predicted_once_by_fods_that_were_not_given_it(phantom):
    seen = []

    def recording(scan, responses):
        seen.append(scan.gradients)
        return true_answer(phantom)(scan, responses)

    folds = []
    cross_validate(recording, phantom.scan, phantom.responses, folds=4, on_fold=folds.append)
    assert folds == [0, 1, 2, 3]
    assert [len(gradients.b0_volumes) for gradients in seen] == [6] * 4
    weighted = {tuple(row) for row in phantom.scan.gradients.directions[6:].round(9)}
    missing = [weighted - {tuple(row) for row in gradients.directions.round(9)} for gradients in seen]
    assert set.union(*missing) == weighted and sum(map(len, missing)) == 120


def test_a_worse_method_has_a_ratio_above_one():
    hardi = crossing_phantom(60.0, shape=(6, 6, 4), protocol=HARDI, snr=20.0)
    white, wm = hardi.tissue_fractions[..., 0] == 1.0, hardi.responses[:1]
    good = cross_validate(true_answer(hardi), hardi.scan, wm, folds=3, voxels=white)

    def deconvolved(scan, responses):
        return constrained_deconvolution(scan, response=responses[0])

    usual = cross_validate(deconvolved, hardi.scan, wm, folds=3, voxels=white)
    assert usual.ratio(good) == usual.relative / good.relative
    assert 1.0 < usual.ratio(good) < 2.0


def test_without_noise_the_noise_is_what_the_harmonics_leave(phantom):
    clean = crossing_phantom(60.0, shape=(6, 6, 4), snr=None)
    prediction = cross_validate(true_answer(clean), clean.scan, clean.responses)
    assert max(shell.error for shell in prediction.shells) < 1.0  # of 1000


def test_volumes_chosen_keep_their_gradients(phantom):
    kept = np.r_[0, 10:40]
    some = with_volumes(phantom.scan, kept)
    np.testing.assert_array_equal(some.data, phantom.scan.data[..., kept])
    np.testing.assert_array_equal(some.gradients.directions, phantom.scan.gradients.directions[kept])


def test_impossible_folds_are_refused(phantom):
    with pytest.raises(EvaluationError, match="1 part: "):
        cross_validate(true_answer(phantom), phantom.scan, phantom.responses, folds=1)
    few = with_volumes(phantom.scan, np.arange(13))  # 7 directions of b=1000
    with pytest.raises(EvaluationError, match="b=1000 has 7 directions, of which"):
        cross_validate(true_answer(phantom), few, phantom.responses, folds=2)
