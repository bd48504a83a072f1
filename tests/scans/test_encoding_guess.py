"""Basis and axes are guessed from the functions where they can be, and said to be unsure where not."""

import numpy as np
import pytest

from shd.scans.encoding_guess import guess_axes, guess_basis
from shd.sphere.bases import DIPY_BASES, change_basis
from shd.sphere.directions import normalised
from shd.sphere.harmonics import even_harmonics, gaussian_factors
from shd.sphere.rotations import grid_rotation, rotate_harmonics
from tests.support.affines import AFFINES


def fibres(voxels=600, degree=8, crossings=0.5, seed=0):
    """Fibres of 10° in random directions, some voxels with two; the MRtrix3 basis."""
    rng = np.random.default_rng(seed)
    axes = normalised(rng.standard_normal((voxels, 2, 3)))
    each = even_harmonics(axes.reshape(-1, 3), degree).reshape(voxels, 2, -1) * gaussian_factors(degree, 10.0)
    second = rng.uniform(0.3, 1.0, voxels) * (rng.random(voxels) < crossings)
    fods = each[:, 0] + second[:, None] * each[:, 1]
    return fods + 0.02 * fods[:, :1] * rng.standard_normal(fods.shape)


def ring(turn=None):
    """Main directions along a tilted ring in voxel axes, and where it is; isotropic voxels."""
    place = np.stack(np.indices((18, 18, 14)), axis=-1) - np.array([8.5, 8.5, 6.5])
    normal = normalised(np.array([[1.0, -0.7, 2.2]]))[0]
    radial = place - (place @ normal)[..., None] * normal
    radius = np.linalg.norm(radial, axis=-1)
    inside = (np.abs(radius - 6.5) < 1.6) & (np.abs(place @ normal) < 1.6)
    tangent = np.cross(normal, normalised(radial))
    return (tangent if turn is None else tangent @ turn.T), inside.astype(float)


@pytest.mark.parametrize("degree", [4, 8, 12])
@pytest.mark.parametrize("basis", DIPY_BASES)
def test_the_basis_is_found(basis, degree):
    guess = guess_basis(change_basis(fibres(degree=degree), "mrtrix3", basis))
    assert guess.best == basis and guess.sure, guess.words


def test_the_basis_is_the_same_along_other_axes():
    turned = rotate_harmonics(fibres(), grid_rotation(AFFINES["oblique"]), 8)
    assert guess_basis(change_basis(turned, "mrtrix3", "descoteaux07")).best == "descoteaux07"


@pytest.mark.parametrize(
    "field", [np.ones((100, 1)), np.zeros((100, 45)), fibres(20), np.full((100, 45), np.nan)],
    ids=["degree 0", "zero", "few voxels", "not finite"],
)  # fmt: skip
def test_too_little_to_tell_a_basis_is_unsure(field):
    guess = guess_basis(field)
    assert not guess.sure and "too few" in guess.words


def test_fibres_along_one_axis_cannot_tell_a_basis():
    """Along z all bases hold the same numbers."""
    along_z = np.tile(even_harmonics(np.array([[0.0, 0.0, 1.0]]), 8), (100, 1))
    assert not guess_basis(along_z).sure


def test_noise_has_no_basis():
    assert not guess_basis(np.random.default_rng(0).standard_normal((500, 45))).sure


@pytest.mark.parametrize("frame", ["LAS", "LPS", "oblique", "permuted"])
@pytest.mark.parametrize("axes", ["scanner", "voxel"])
def test_the_axes_are_found(axes, frame):
    turn = grid_rotation(AFFINES[frame]) if axes == "scanner" else None
    guess = guess_axes(*ring(turn), AFFINES[frame])
    assert guess.best == axes and guess.sure, guess.words


def test_where_both_axes_are_the_same_it_is_sure():
    for affine in (AFFINES["RAS"], np.diag([-2.0, -2.0, -2.0, 1.0])):
        guess = guess_axes(*ring(), affine)
        assert guess.sure and "are the same" in guess.words


def test_directions_without_order_leave_the_axes_unsure():
    directions = normalised(np.random.default_rng(0).standard_normal((12, 12, 12, 3)))
    assert not guess_axes(directions, np.ones((12, 12, 12)), AFFINES["oblique"]).sure


def test_without_any_direction_the_axes_are_unsure():
    weights = np.zeros((18, 18, 14))
    assert "no voxel has a direction" in guess_axes(ring()[0], weights, AFFINES["oblique"]).words
