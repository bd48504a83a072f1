"""q-space coordinates of a scan."""

import numpy as np
import pytest
import torch

from shd.errors import GradientError, SettingsError
from shd.models.pq.q_space import checked_q, length_count, q_coordinates, shell_lengths
from shd.signal.gradients import Gradients, Shell
from shd.sphere.rotations import grid_rotation
from tests.models.pq.q_samples import cube, shell
from tests.support.affines import AFFINES


@pytest.mark.parametrize("name", AFFINES)
def test_coordinates_are_in_voxel_axes_as_long_as_the_root_of_b(name):
    affine = AFFINES[name]
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((8, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bvalues = np.array([0.0, 1000, 1000, 1000, 3000, 3000, 3000, 3000])
    q = q_coordinates(_table(bvalues, vectors), affine).numpy()
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), np.sqrt(bvalues / 3000), atol=1e-12)
    back = q[1:] @ grid_rotation(affine).T
    np.testing.assert_allclose(back, vectors[1:] * np.sqrt(bvalues[1:, None] / 3000), atol=1e-12)


def test_coordinates_turn_with_the_image():
    """The same head scanned on a turned grid: voxel axes see the gradients turned the other way."""
    gradients = _table(np.array([0.0, 900.0, 900.0]), np.eye(3))
    turn = np.eye(4)
    turn[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    here, there = q_coordinates(gradients, np.eye(4)), q_coordinates(gradients, turn)
    np.testing.assert_allclose(there.numpy(), here.numpy() @ turn[:3, :3], atol=1e-12)
    assert there[1].tolist() == pytest.approx([1.0, 0.0, 0.0]), "scanner y is the turned image's x"


def test_a_scan_without_weighting_is_refused():
    only = Gradients(np.zeros(2), np.zeros((2, 3)), (Shell(0.0, np.arange(2)),))
    with pytest.raises(GradientError, match="0 of 2"):
        q_coordinates(only, np.eye(4))


def test_jittered_bvalues_are_one_shell():
    lengths = torch.tensor([1500.0, 0.0, 1495.0, 3000.0, 1505.0, 2950.0], dtype=torch.float64).sqrt()
    q = torch.stack([lengths / lengths.max(), 0 * lengths, 0 * lengths], dim=-1)
    found = shell_lengths(q)
    assert length_count(found) == len(set(found.tolist())) == 3
    torch.testing.assert_close(found, q.norm(dim=-1), rtol=0.01, atol=0)
    assert [length_count(shell_lengths(samples)) for samples in (cube(), shell(5), 0 * shell(1))] == [3, 1, 1]


def test_lengths_without_gaps_are_no_shells():
    q = torch.linspace(0.1, 1, 40, dtype=torch.float64).unsqueeze(1) * shell(40)
    torch.testing.assert_close(shell_lengths(q), q.norm(dim=-1), rtol=0, atol=0)


def test_samples_that_cannot_be_are_refused():
    with pytest.raises(SettingsError, match="0 q-space samples"):
        checked_q(torch.zeros(0, 3))
    with pytest.raises(SettingsError, match="1 coordinate not finite"):
        checked_q(torch.tensor([[0.0, np.nan, 1.0]]))
    assert checked_q(None).tolist() == [[0.0, 0.0, 0.0]]


def _table(bvalues, vectors):
    shells = tuple(Shell(float(b), np.flatnonzero(bvalues == b)) for b in np.unique(bvalues))
    return Gradients(bvalues, np.where(bvalues[:, None] > 0, vectors, 0.0), shells)
