import numpy as np
import pytest

from shd.evaluation.peak_scores import score_peaks
from shd.evaluation.threshold_sweep import THRESHOLDS, sweep_thresholds

X, Y, Z = np.eye(3)


def test_thresholds_are_the_published_ones():
    np.testing.assert_allclose(THRESHOLDS, np.linspace(0.05, 0.95, 19))


def test_each_threshold_has_its_own_scores():
    generator = np.random.default_rng(1)
    axes = generator.normal(size=(30, 3, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    case = axes, generator.uniform(size=(30, 3)), axes[:, :2], generator.uniform(size=(30, 2))
    sweep = sweep_thresholds(*case, minimum_fraction=0.2)
    for threshold, scores in zip(sweep.thresholds, sweep.scores, strict=True):
        assert scores == score_peaks(*case, relative_threshold=threshold, minimum_fraction=0.2)
    assert len({scores.f1 for scores in sweep.scores}) > 5


def test_best_threshold_cuts_the_false_peak_and_keeps_the_second_fibre():
    sweep = sweep_thresholds(
        np.array([[X, Y, Z]]), np.array([[1.0, 0.5, 0.22]]), np.array([[X, Y]]), np.array([[0.5, 0.5]])
    )
    threshold, scores = sweep.best
    assert threshold == 0.25
    assert scores.f1 == 1.0


def test_perfect_peaks_have_unit_area():
    axes = np.array([[X, Y]])
    sweep = sweep_thresholds(axes, np.ones((1, 2)), axes, np.full((1, 2), 0.5))
    assert sweep.area_under_curve == pytest.approx(1.0)


def test_area_of_a_curve_drawn_by_hand():
    # Above 0.5 one right peak: recall 1/2, precision 1. From 0.2 a false one: 1/2, 1/2. Below 0.2 all three: 1, 2/3.
    sweep = sweep_thresholds(
        np.array([[X, Z, Y]]), np.array([[1.0, 0.5, 0.2]]), np.array([[X, Y]]), np.array([[0.5, 0.5]])
    )
    assert sweep.area_under_curve == pytest.approx(0.5 * 1 + 0.5 * (1 / 2 + 2 / 3) / 2)


def test_fibres_never_found_are_area_lost():
    sweep = sweep_thresholds(np.array([[X]]), np.ones((1, 1)), np.array([[X, Y]]), np.full((1, 2), 0.5))
    assert sweep.area_under_curve == pytest.approx(0.5)
