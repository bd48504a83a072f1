"""The way from one telling of harmonics to another is exact, and the same as turning and renaming step by step."""

import numpy as np
import pytest

from shd.fodf.encoding import AXES, OURS, Encoding, conversion_matrix, converted_volumes
from shd.fodf.frames import to_voxel_axes
from shd.sphere.bases import BASES, change_basis
from tests.support.affines import AFFINES

ALL = [Encoding(basis, axes) for basis in BASES for axes in AXES]


def fods(degree=8):
    count = (degree + 1) * (degree + 2) // 2
    return np.random.default_rng(0).standard_normal((2, 3, 2, count)).astype(np.float32)


def converted(field, old, new, affine):
    matrix = conversion_matrix(8, old, new, affine)
    return np.stack(list(converted_volumes(field, matrix)), axis=-1)


@pytest.mark.parametrize("frame", ["oblique", "permuted"])
@pytest.mark.parametrize("new", ALL, ids=str)
def test_there_and_back_is_nothing(new, frame):
    there = converted(fods(), OURS, new, AFFINES[frame])
    back = converted(there, new, OURS, AFFINES[frame])
    np.testing.assert_allclose(back, fods(), atol=1e-6 * np.abs(fods()).max())


@pytest.mark.parametrize("basis", BASES)
def test_is_turning_and_then_renaming(basis):
    there = converted(fods(), OURS, Encoding(basis, "voxel"), AFFINES["oblique"])
    steps = change_basis(to_voxel_axes(fods(), AFFINES["oblique"]), "mrtrix3", basis)
    np.testing.assert_allclose(there, steps, atol=1e-5)


@pytest.mark.parametrize("basis", ["tournier07", "descoteaux07_legacy"])
def test_a_reorder_changes_no_number(basis):
    there = converted(fods(), OURS, Encoding(basis, "scanner"), AFFINES["oblique"])
    np.testing.assert_array_equal(np.sort(there, axis=-1), np.sort(fods(), axis=-1))


def test_flipped_grids_change_signs_only():
    there = converted(fods(), OURS, Encoding("mrtrix3", "voxel"), AFFINES["LAS"])
    np.testing.assert_array_equal(np.abs(there), np.abs(fods()))
    assert (there != fods()).any()


def test_outside_the_mask_is_zero():
    mask = np.zeros((2, 3, 2), bool)
    mask[1] = True
    matrix = conversion_matrix(8, OURS, OURS, np.eye(4))
    there = np.stack(list(converted_volumes(fods(), matrix, mask)), axis=-1)
    np.testing.assert_array_equal(there, fods() * mask[..., None])


def test_an_unknown_basis_is_named():
    with pytest.raises(ValueError, match=r"basis legendre.*give one of mrtrix3, tournier07"):
        Encoding("legendre", "voxel")
