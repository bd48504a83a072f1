"""Lesions found and invented, against a flood fill and by hand."""

from itertools import product

import numpy as np
import pytest

from shd.evaluation.lesion_scores import LesionScores, lesion_scores


def components(mask):
    """Sets of voxels joined by faces, edges or corners, by flood fill."""
    left, found = {tuple(map(int, voxel)) for voxel in np.argwhere(mask)}, []
    while left:
        queue, part = [left.pop()], set()
        while queue:
            voxel = queue.pop()
            part.add(voxel)
            near = {tuple(np.add(voxel, step).tolist()) for step in product((-1, 0, 1), repeat=3)} & left
            left -= near
            queue += near
        found.append(part)
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("overlap", [0.1, 0.5, 1.0])
def test_counts_are_those_of_a_flood_fill(seed, overlap):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.random((2, 9, 8, 7)) < 0.06
    predicted |= truth & (rng.random(truth.shape) < 0.4)
    real, made = components(truth), components(predicted)
    hits = [sum(predicted[voxel] for voxel in part) for part in real]
    found = sum(hit >= 1 and hit >= overlap * len(part) for hit, part in zip(hits, real, strict=True))
    false = sum(not any(truth[voxel] for voxel in part) for part in made)
    assert lesion_scores(truth, predicted, overlap) == LesionScores(len(real), int(found), len(made), false, overlap)


def test_a_tenth_of_a_lesion_is_enough_and_less_is_not():
    truth, predicted = np.zeros((2, 20, 3, 3), bool)
    truth[:20, 0, 0] = True
    predicted[0, 0, 0] = True
    assert lesion_scores(truth, predicted).found == 0
    predicted[1, 0, 0] = True
    assert lesion_scores(truth, predicted).found == 1


def test_voxels_that_share_a_corner_are_one_lesion():
    truth = np.zeros((3, 3, 3), bool)
    truth[0, 0, 0] = truth[1, 1, 1] = True
    assert lesion_scores(truth, truth) == LesionScores(1, 1, 1, 0, 0.1)


def test_nothing_there_and_nothing_predicted_misses_nothing():
    empty = np.zeros((3, 3, 3), bool)
    assert lesion_scores(empty, empty).sensitivity == 1.0
    assert lesion_scores(empty, ~empty) == LesionScores(0, 0, 1, 1, 0.1)
    assert lesion_scores(~empty, empty).sensitivity == 0.0


def test_counts_of_scans_add_up():
    one, other = LesionScores(3, 2, 5, 1, 0.1), LesionScores(1, 0, 0, 0, 0.1)
    assert one + other == LesionScores(4, 2, 5, 1, 0.1) and (one + other).sensitivity == 0.5
