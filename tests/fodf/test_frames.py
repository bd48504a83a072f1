import numpy as np
import pytest

from shd.fodf.frames import peaks_to_scanner_axes, peaks_to_voxel_axes, to_scanner_axes, to_voxel_axes
from shd.fodf.peaks import Peaks
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.harmonics import even_harmonics
from shd.sphere.rotations import random_rotation

ROTATION = random_rotation(np.random.default_rng(2))
GRIDS = {
    "RAS": np.eye(3),
    "LAS": np.diag([-1.0, 1.0, 1.0]),
    "oblique": ROTATION,
    "oblique reflected": ROTATION @ np.diag([1.0, -1.0, 1.0]),
    "permuted": np.eye(3)[[1, 2, 0]],
}
grids = pytest.mark.parametrize("rotation", GRIDS.values(), ids=GRIDS)


def affine_of(rotation):
    affine = np.eye(4)
    affine[:3, :3] = rotation * [2.0, 1.5, 3.0]
    affine[:3, 3] = [5, -6, 7]
    return affine


@grids
def test_the_function_along_a_voxel_direction_is_that_along_its_scanner_direction(rotation):
    rng = np.random.default_rng(0)
    fods = rng.standard_normal((2, 3, 45))
    voxel_directions = normalised(rng.standard_normal((20, 3)))
    in_voxel = to_voxel_axes(fods, affine_of(rotation)) @ even_harmonics(voxel_directions, 8).T
    in_scanner = fods @ even_harmonics(voxel_directions @ rotation.T, 8).T
    np.testing.assert_allclose(in_voxel, in_scanner, atol=1e-10)


@grids
def test_scanner_axes_undo_voxel_axes(rotation):
    fods = np.random.default_rng(0).standard_normal((4, 45))
    back = to_scanner_axes(to_voxel_axes(fods, affine_of(rotation)), affine_of(rotation))
    np.testing.assert_allclose(back, fods, atol=1e-10)


@grids
def test_peaks_turn_there_and_back(rotation):
    directions = normalised(np.random.default_rng(0).standard_normal((3, 2, 3)))
    peaks = Peaks(directions, np.ones((3, 2)))
    turned = peaks_to_voxel_axes(peaks, affine_of(rotation))
    assert axial_angle(turned.directions @ rotation.T, directions).max() < 1e-6
    assert (turned.directions[..., 2] >= 0).all()
    assert axial_angle(peaks_to_scanner_axes(turned, affine_of(rotation)).directions, directions).max() < 1e-6


def test_absent_peaks_stay_zero():
    peaks = Peaks(np.zeros((1, 2, 3), np.float32), np.zeros((1, 2), np.float32))
    turned = peaks_to_voxel_axes(peaks, affine_of(ROTATION))
    assert turned.directions.dtype == np.float32
    assert (turned.directions == 0).all() and not np.signbit(turned.directions).any()
