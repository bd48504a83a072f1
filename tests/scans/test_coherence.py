import itertools

import numpy as np
import pytest

from shd.scans.coherence import gradient_coherence
from shd.scans.scan import Scan
from shd.signal.gradients import gradient_table
from shd.sphere.directions import half_sphere
from tests.support.affines import AFFINES

CANDIDATES = [
    np.diag(flip) @ np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for flip in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))
]


def ring_scan(affine: np.ndarray, wrong: np.ndarray, generator: np.random.Generator, fibres: bool = True) -> Scan:
    """Two rings of fibres, differently tilted, in isotropic tissue.

    The table given is `wrong` @ the true one, along the image axes.
    """
    shape = (20, 20, 38)
    tangent, mask = np.zeros((*shape, 3)), np.zeros(shape, dtype=bool)
    for height, axis in ((9.5, (1.0, 2.0, 3.0)), (27.5, (2.5, 1.0, -0.5))):
        normal = np.array(axis) / np.linalg.norm(axis)
        place = np.stack(np.indices(shape), axis=-1) - np.array([9.5, 9.5, height])
        radial = place - (place @ normal)[..., None] * normal
        radius = np.linalg.norm(radial, axis=-1)
        ring = (np.abs(radius - 7.0) < 1.8) & (np.abs(place @ normal) < 1.8)
        tangent[ring] = np.cross(normal, radial[ring] / radius[ring][:, None])
        mask |= ring
    directions = np.concatenate([np.zeros((3, 3)), half_sphere(32)])
    bvalues = np.where(np.arange(35) < 3, 0.0, 1000.0)
    along = np.where(mask[..., None] & fibres, (tangent @ directions.T) ** 2, 0.33)
    clean = 100.0 * np.exp(-bvalues * (0.3e-3 + 1.4e-3 * along))
    data = (clean + 5.0 * generator.standard_normal(clean.shape)).astype(np.float32)
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return Scan(data, affine, gradient_table(bvalues, directions @ wrong.T @ rotation.T), mask)


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
