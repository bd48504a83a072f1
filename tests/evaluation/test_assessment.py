"""Every score of one result: groups, ceiling, distances and tissues together."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.evaluation.assessment import ALL, assess_ceiling, assess_fods, assess_peaks
from shd.evaluation.peak_scores import score_matches
from shd.evaluation.phantom_scores import match_phantom
from shd.evaluation.threshold_sweep import THRESHOLDS
from shd.evaluation.tissue_scores import tissue_errors
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.simulation import crossing_phantom
from shd.sphere.harmonics import coefficient_count


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.of(crossing_phantom(50.0, shape=(12, 12, 8), snr=None))


@pytest.fixture(scope="module")
def blurred(truth) -> FodField:
    """The right answer at degree 8, with tissues half as large as they are."""
    tissues = {name: truth.tissue_fractions[..., n] / np.sqrt(4 * np.pi) / 2 for n, name in ((1, "gm"), (2, "csf"))}
    return FodField(truth.ceiling(degree=8), tissues, truth.affine, truth.mask)


def test_ceiling_is_the_right_answer(truth):
    ceiling = assess_ceiling(truth)
    everything = ceiling.groups[ALL]
    assert everything.sweep.at(0.1).recall == 1.0
    assert everything.sweep.best[1].f1 > 0.99
    assert everything.angular_correlation == pytest.approx(1.0)
    assert everything.jensen_shannon == pytest.approx(0.0, abs=1e-9)
    assert max(ceiling.tissue_errors.values()) < 1e-6
    assert set(ceiling.tissue_errors) == {"wm", "gm", "csf"}


def test_ceiling_has_the_directions_and_amounts_of_the_exact_fods(truth):
    ceiling = truth.ceiling()
    np.testing.assert_allclose(ceiling[..., 0] * np.sqrt(4 * np.pi), truth.tissue_fractions[..., 0], atol=1e-5)
    np.testing.assert_array_equal(truth.ceiling(smoothing_degrees=0.0), truth.fods[..., : coefficient_count(12)])
    assert truth.ceiling(degree=8).shape[-1] == coefficient_count(8)


def test_a_blunter_answer_is_worse_in_every_distance(truth, blurred):
    ours, ceiling = assess_fods("blurred", blurred, truth), assess_ceiling(truth)
    assert 0.5 < ours.groups[ALL].angular_correlation < 1.0
    assert 0.0 < ours.groups[ALL].jensen_shannon < 0.5
    assert ours.groups["2 fibres"].sweep.at(0.1).angular_error > ceiling.groups["2 fibres"].sweep.at(0.1).angular_error


def test_groups_are_those_of_the_matches(truth, blurred):
    groups = assess_fods("blurred", blurred, truth, threshold=0.3).groups
    matches = match_phantom(blurred.wm, truth, relative_threshold=0.3)
    assert groups[ALL].sweep.at(0.3) == score_matches(matches)
    assert groups["2 fibres"].sweep.at(0.3) == score_matches(matches.select(matches.true_count == 2))
    counts = [group.sweep.at(0.3).voxels for name, group in groups.items() if "fibre" in name]
    assert sum(counts) == groups[ALL].sweep.at(0.3).voxels == truth.scored.sum()
    angles = [group.sweep.at(0.3).voxels for name, group in groups.items() if "°" in name]
    assert sum(angles) == groups["2 fibres"].sweep.at(0.3).voxels
    assert "45-60°" in groups and "75-90°" not in groups


def test_a_threshold_of_its_own_joins_the_protocols(truth, blurred):
    sweep = assess_fods("blurred", blurred, truth, threshold=0.33).groups[ALL].sweep
    assert sweep.thresholds == tuple(sorted({*THRESHOLDS, 0.33}))
    lower = assess_fods("blurred", blurred, truth, threshold=0.02).groups[ALL].sweep
    assert lower.at(0.02).precision <= lower.at(0.05).precision


def test_peaks_of_the_fods_score_as_the_fods(truth, blurred):
    peaks = find_peaks(blurred.wm[truth.mask], count=10, relative_threshold=0.05).on_grid(truth.mask)
    by_peaks, by_fods = assess_peaks("peaks", peaks, truth), assess_fods("fods", blurred, truth)
    assert by_peaks.groups[ALL].sweep == by_fods.groups[ALL].sweep
    assert np.isnan(by_peaks.groups[ALL].jensen_shannon) and by_peaks.tissue_errors == {}


def test_tissue_errors_are_mean_absolute_differences(truth, blurred):
    errors = tissue_errors(blurred, truth)
    assert errors["wm"] < 1e-6
    assert errors["csf"] == pytest.approx(truth.tissue_fractions[..., 2].mean() / 2)
    wet = truth.tissue_fractions[..., 2] == 1.0
    assert tissue_errors(blurred, truth, wet)["csf"] == pytest.approx(0.5)
    assert set(tissue_errors(replace(blurred, isotropic={}), truth)) == {"wm"}


def test_an_empty_answer_is_as_wrong_as_can_be(truth, blurred):
    nothing = replace(blurred, wm=np.zeros_like(blurred.wm))
    scores = assess_fods("nothing", nothing, truth).groups[ALL]
    assert (scores.angular_correlation, scores.jensen_shannon) == (0.0, 1.0)
    assert scores.sweep.at(0.1).recall == 0.0 and scores.sweep.area_under_curve == 0.0


def test_voxels_outside_the_mask_are_not_scored(truth, blurred):
    half = truth.mask.copy()
    half[:6] = False
    assessed = assess_fods("half", blurred, replace(truth, mask=half))
    assert assessed.groups[ALL].sweep.at(0.1).voxels == truth.scored[6:].sum()
    assert np.isnan(assessed.errors.degrees[:6]).all()


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01, float("nan")])
def test_thresholds_out_of_range_are_refused(truth, blurred, threshold):
    with pytest.raises(EvaluationError, match=f"threshold {threshold:g}"):
        assess_fods("blurred", blurred, truth, threshold=threshold)


def test_another_grid_is_refused(truth, blurred):
    peaks = find_peaks(blurred.wm[truth.mask], count=2).on_grid(truth.mask)
    cut = replace(peaks, directions=peaks.directions[:5], amplitudes=peaks.amplitudes[:5])
    with pytest.raises(EvaluationError, match=r"\(5, 12, 8\) but truth on \(12, 12, 8\)"):
        assess_peaks("cut", cut, truth)


def test_truth_without_white_matter_is_refused(truth, blurred):
    grey = np.zeros_like(truth.tissue_fractions)
    grey[..., 1] = 1.0
    with pytest.raises(EvaluationError, match="nothing to score"):
        assess_fods("blurred", blurred, replace(truth, tissue_fractions=grey))
