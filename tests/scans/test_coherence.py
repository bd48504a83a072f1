import itertools

import numpy as np
import pytest

from shd.errors import ShdWarning
from shd.scans.coherence import checked_directions, gradient_coherence
from shd.scans.scan import Scan
from tests.support.affines import AFFINES
from tests.support.rings import ring_scan

CANDIDATES = [
    np.diag(flip) @ np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for flip in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))
]


@pytest.mark.parametrize("index", range(1, 24))
def test_every_flip_and_permutation_is_found_and_undone(index):
    wrong = CANDIDATES[index]
    report = gradient_coherence(ring_scan(AFFINES["oblique"], wrong, np.random.default_rng(index)))
    assert report.verdict == "inconsistent" and not report.consistent
    restored = report.matrix @ wrong
    assert np.array_equal(np.abs(np.trace(restored)), 3.0), "the matrix undoes the error, up to the sign of the axis"
    assert report.score_best > report.score_given


@pytest.mark.parametrize("name", AFFINES)
def test_true_directions_are_confirmed_in_every_geometry(name):
    report = gradient_coherence(ring_scan(AFFINES[name], np.eye(3), np.random.default_rng(3)))
    assert report.verdict == "confirmed"
    assert report.best == "as given"
    assert report.score_best == report.score_given


def test_water_gives_no_verdict():
    report = gradient_coherence(ring_scan(AFFINES["RAS"], np.eye(3), np.random.default_rng(4), fibres=False))
    assert report.verdict == "undecided" and report.consistent


def test_one_voxel_gives_no_verdict():
    scan = ring_scan(AFFINES["RAS"], np.eye(3), np.random.default_rng(5))
    lone = np.zeros_like(scan.mask)
    lone[tuple(np.argwhere(scan.mask)[0])] = True
    report = gradient_coherence(Scan(scan.data, scan.affine, scan.gradients, lone))
    assert report.verdict == "undecided" and report.certainty == 0.0


def test_the_message_names_the_axis_and_both_scores():
    report = gradient_coherence(ring_scan(AFFINES["LAS"], np.diag([1.0, -1.0, 1.0]), np.random.default_rng(6)))
    assert report.best == "image axis y flipped"
    assert f"{report.score_given:.4f}" in report.message and f"{report.score_best:.4f}" in report.message
    with pytest.warns(ShdWarning, match=r"^s1: gradient directions do not fit .* image axis y flipped .*Check"):
        checked_directions(ring_scan(AFFINES["LAS"], np.diag([1.0, -1.0, 1.0]), np.random.default_rng(6)), "s1")


def test_what_cannot_be_told_says_what_to_look_at_without_figures():
    """The scores are fields of the report, for run.json."""
    report = gradient_coherence(ring_scan(AFFINES["RAS"], np.eye(3), np.random.default_rng(4), fibres=False))
    assert report.message.startswith("no error found") and "Look whether fibres follow" in report.message
    assert not any(letter.isdigit() for letter in report.message) and report.score_given > 0
