"""Scores over voxels against counting, and their values where they are known by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import EvaluationError
from shd.evaluation.segmentation_scores import average_precision, best_threshold, curves, dice, voxel_scores


def case(seed, count=40, steps=8):
    """Truth and probabilities with ties; both labels occur."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.3
    truth[:2] = True, False
    return truth, (np.round((0.6 * truth + rng.random(count)) / 1.6 * steps) / steps).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_scores_are_those_of_counting(seed):
    truth, chance = case(seed)
    scores = voxel_scores(truth, chance, 0.25)
    pairs = [(a > b) + 0.5 * (a == b) for a in chance[truth] for b in chance[~truth]]
    assert scores.roc_auc == pytest.approx(np.mean(pairs))
    precision, before = 0.0, 0.0
    for limit in np.unique(chance)[::-1]:
        taken = chance >= limit
        recall = (truth & taken).sum() / truth.sum()
        precision += (recall - before) * (truth & taken).sum() / taken.sum()
        before = recall
    assert scores.average_precision == pytest.approx(precision)
    for limit, found in ((0.5, scores.dice), (0.25, scores.dice_at)):
        taken = chance >= limit
        assert found == pytest.approx(2 * (truth & taken).sum() / (truth.sum() + taken.sum()))
    assert (scores.voxels, scores.positives, scores.threshold) == (40, truth.sum(), 0.25)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_best_threshold_is_the_best_of_all(seed):
    truth, chance = case(seed)
    limit, best = best_threshold(truth, chance)
    every = [dice(truth, chance >= other) for other in np.unique(chance)]
    assert best == pytest.approx(max(every))
    assert dice(truth, chance >= limit) == pytest.approx(best)


def test_the_truth_itself_is_perfect_and_its_opposite_is_wrong():
    truth, _ = case(0)
    perfect, wrong = (voxel_scores(truth, chance.astype(float), 0.5) for chance in (truth, ~truth))
    assert perfect.roc_auc == perfect.average_precision == perfect.dice == perfect.dice_best == 1.0
    assert wrong.roc_auc == wrong.dice == 0.0 and wrong.average_precision < 0.5


def test_equal_probabilities_are_chance():
    truth, _ = case(0)
    scores = voxel_scores(truth, np.full(40, 0.3), 0.5)
    assert scores.roc_auc == 0.5 and scores.average_precision == pytest.approx(truth.mean()) and scores.dice == 0.0


def test_without_a_true_voxel_the_threshold_stays_at_a_half_and_nothing_predicted_is_right():
    assert best_threshold(np.zeros(5, bool), np.full(5, 0.2)) == (0.5, 1.0)
    assert dice(np.zeros(5, bool), np.ones(5, bool)) == 0.0


@pytest.mark.parametrize("value", [True, False])
def test_one_label_alone_has_no_curve(value):
    with pytest.raises(EvaluationError, match=f"{5 * value} of 5 voxels have the label"):
        voxel_scores(np.full(5, value), np.linspace(0, 1, 5), 0.5)


def test_long_curves_are_thinned_and_keep_their_ends():
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.1
    drawn = curves(truth, rng.random(20_000) + 0.2 * truth)
    assert 100 < len(drawn.recall) == len(drawn.precision) <= 2000
    assert (drawn.false_positive[[0, -1]] == [0.0, 1.0]).all() and (drawn.recall[[0, -1]] == [1.0, 0.0]).all()
    area = np.trapezoid(drawn.true_positive, drawn.false_positive)
    assert area == pytest.approx(voxel_scores(truth, rng.random(20_000), 0.5).roc_auc, abs=0.2)
    assert average_precision(truth, truth.astype(float)) == 1.0
