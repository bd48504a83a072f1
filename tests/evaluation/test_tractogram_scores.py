"""Connections, overlap and overreach on two bundles small enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.evaluation.tractogram_scores import Streamlines, end_labels, score_tractogram
from shd.evaluation.truth import Truth
from shd.simulation.centreline import trace
from shd.simulation.protocols import CLINICAL
from shd.simulation.tangle import tangle_phantom
from tests.support.affines import AFFINES

AFFINE = AFFINES["oblique"]
SHAPE = (10, 6, 3)


@pytest.fixture
def truth() -> Truth:
    """Bundle 0 fills row y = 1, bundle 1 row y = 4, of the plane z = 1; both from x = 0 to 9."""
    fractions, bundles = np.zeros((*SHAPE, 1)), np.full((*SHAPE, 1), -1, dtype=np.int16)
    endpoints = np.zeros(SHAPE, dtype=np.int16)
    for number, row in enumerate((1, 4)):
        fractions[:, row, 1], bundles[:, row, 1] = 1.0, number
        endpoints[0, row, 1], endpoints[9, row, 1] = 2 * number + 1, 2 * number + 2
    directions = np.zeros((*SHAPE, 1, 3))
    directions[fractions > 0] = AFFINE[:3, 0] / 2.0
    tissues = np.concatenate([fractions, 1 - fractions, 0 * fractions], axis=-1)
    mask = np.ones(SHAPE, dtype=bool)
    return Truth(directions, fractions, bundles, tissues, np.zeros((*SHAPE, 6)), endpoints, AFFINE, mask)


def lines(*voxel_paths: list[tuple[float, ...]]) -> Streamlines:
    """Streamlines in scanner mm from paths in voxel units."""
    points = np.concatenate([np.array(path, dtype=float).reshape(-1, 3) for path in voxel_paths])
    return Streamlines(points @ AFFINE[:3, :3].T + AFFINE[:3, 3], np.array([len(path) for path in voxel_paths]))


ALONG_0 = [(0, 1, 1), (9, 1, 1)]
ALONG_1_BACK = [(9, 4, 1), (5, 4, 1), (0, 4, 1)]
ACROSS = [(0, 1, 1), (9, 4, 1)]  # start of 0, end of 1
LIKE_ENDS = [(0, 1, 1), (0, 4, 1)]
STOPPED = [(0, 1, 1), (5, 1, 1)]
BACK_AGAIN = [(0, 1, 1), (3, 1, 1), (0, 1.2, 1)]
LOST = [(4, 2.6, 1), (6, 2.6, 1)]
POINT = [(0, 1, 1)]


def test_streamlines_are_counted_as_what_they_join(truth):
    scores = score_tractogram(
        lines(ALONG_0, ALONG_1_BACK, ACROSS, LIKE_ENDS, STOPPED, BACK_AGAIN, LOST, POINT), truth, reach_mm=0.0
    )
    assert scores.streamlines == 8
    assert scores.valid_connections == 2 / 8
    assert scores.invalid_connections == 2 / 8
    assert scores.no_connections == 4 / 8
    assert (scores.bundles, scores.valid_bundles, scores.invalid_bundles) == (2, 2, 2)
    assert [score.streamlines for score in scores.by_bundle] == [1, 1]


def test_an_invalid_pair_is_one_pair_whichever_way_it_runs(truth):
    scores = score_tractogram(lines(ACROSS, ACROSS[::-1], ALONG_0), truth)
    assert (scores.invalid_bundles, scores.invalid_connections) == (1, 2 / 3)


def test_overlap_and_overreach_are_of_the_valid_connections_of_each_bundle(truth):
    detour = [(0, 1, 1), (2, 1, 1), (2, 2, 1), (4, 2, 1), (4, 1, 1), (9, 1, 1)]  # leaves x = 3, visits 3 beside
    scores = score_tractogram(lines(detour, STOPPED), truth)
    first, second = scores.by_bundle
    assert first.overlap == pytest.approx(9 / 10)
    assert first.overreach == pytest.approx(3 / 10)
    assert first.f1 == pytest.approx(2 * 9 / (9 + 3 + 10))
    assert (second.streamlines, second.overlap, second.overreach, second.f1) == (0, 0.0, 0.0, 0.0)
    assert scores.overlap == pytest.approx(9 / 20)
    assert scores.valid_bundles == 1


def test_two_streamlines_of_a_bundle_visit_a_voxel_once(truth):
    scores = score_tractogram(lines(ALONG_0, ALONG_0), truth)
    assert scores.by_bundle[0].overlap == 1.0 and scores.by_bundle[0].overreach == 0.0


def test_an_end_near_its_region_belongs_to_it(truth):
    short = lines([(1, 1, 1), (9, 1, 1)])
    assert end_labels(short, truth, reach_mm=0.0).tolist() == [[0, 2]]
    assert end_labels(short, truth).tolist() == [[1, 2]]  # one voxel of 2 mm
    assert end_labels(lines([(2, 1, 1), (9, 1, 1)]), truth).tolist() == [[0, 2]]


def test_streamlines_that_leave_the_grid_end_nowhere_and_visit_what_is_inside(truth):
    scores = score_tractogram(lines([(0, 1, 1), (30, 1, 1)], [(0, 4, 1), (5, 4, 1), (5, -7, 1), (9, 4, 1)]), truth)
    assert scores.no_connections == 0.5
    assert scores.by_bundle[1].streamlines == 1


def test_many_streamlines_are_taken_in_blocks(truth):
    alone = score_tractogram(lines(ALONG_0, ALONG_1_BACK), truth)
    many = score_tractogram(lines(*[ALONG_0, ALONG_1_BACK] * 1100), truth)
    assert (many.overlap, many.valid_connections) == (alone.overlap, 1.0)
    assert [score.streamlines for score in many.by_bundle] == [1100, 1100]


def test_centrelines_of_simulated_bundles_are_all_valid():
    phantom = tangle_phantom(4, 30.0, protocol=CLINICAL, snr=None, seed=1)
    curves = [trace(bundle).points for bundle in phantom.geometry.bundles]
    bundles = [*curves, curves[0][::-1], curves[1][: len(curves[1]) // 2]]  # the last stops half way
    centres = Streamlines(np.concatenate(bundles), np.array([len(points) for points in bundles]))
    scores = score_tractogram(centres, Truth.of(phantom))
    assert scores.valid_connections == 5 / 6 and scores.no_connections == pytest.approx(1 / 6)
    assert (scores.valid_bundles, scores.bundles) == (4, 4)
    assert all(score.overreach <= 0.01 for score in scores.by_bundle)
    assert all(0.02 < score.overlap < 0.6 for score in scores.by_bundle)


def test_truth_without_ends_is_refused(truth):
    with pytest.raises(EvaluationError, match="0 end regions"):
        score_tractogram(lines(ALONG_0), replace(truth, endpoints=np.zeros(SHAPE, dtype=np.int16)))


def test_no_streamlines_are_refused(truth):
    with pytest.raises(EvaluationError, match="0 streamlines"):
        score_tractogram(Streamlines(np.zeros((0, 3)), np.zeros(0, dtype=int)), truth)
