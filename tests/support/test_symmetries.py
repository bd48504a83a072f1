import numpy as np
import pytest
import torch

from tests.support.symmetries import voxel_symmetries


def test_the_matrix_moves_a_voxel_as_the_symmetry_does():
    place = np.array([2, 0, -1])
    image = torch.zeros(5, 5, 5)
    image[tuple(place + 2)] = 1.0
    for symmetry in voxel_symmetries():
        moved = symmetry.acting_on(0)(image).nonzero()[0].numpy() - 2
        assert moved.tolist() == (symmetry.matrix @ place).tolist()


def test_half_of_the_symmetries_are_rotations():
    symmetries = voxel_symmetries(identity=True)
    assert sum(symmetry.turns for symmetry in symmetries) == 24 and len(symmetries) == 48
    assert [np.linalg.det(symmetry.matrix) for symmetry in symmetries] == [
        pytest.approx(1 if symmetry.turns else -1) for symmetry in symmetries
    ]
