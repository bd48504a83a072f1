"""Changes of basis against DIPY's own definitions."""

import warnings

import numpy as np
import pytest
from dipy.reconst.shm import convert_sh_descoteaux_tournier, sph_harm_lookup

from shd.sphere.bases import BASES, DIPY_BASES, basis_change, change_basis, dipy_arguments
from shd.sphere.directions import half_sphere, normalised
from shd.sphere.harmonics import coefficient_count, even_harmonics


def dipys_functions(basis, degree, directions):
    """DIPY's matrix of the basis: direction × coefficient."""
    name, legacy = dipy_arguments(basis)
    x, y, z = directions.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return sph_harm_lookup[name](degree, np.arccos(z), np.arctan2(y, x), legacy=legacy)[0]


def coefficients(degree, seed=0):
    return np.random.default_rng(seed).standard_normal((5, coefficient_count(degree)))


@pytest.mark.parametrize("degree", [0, 2, 8, 12])
@pytest.mark.parametrize("basis", BASES)
def test_the_function_stays_the_same_in_dipys_basis(basis, degree):
    directions = np.concatenate([half_sphere(40), -half_sphere(7), normalised(np.eye(3)[[2, 0]])])
    ours = coefficients(degree)
    theirs = change_basis(ours, "mrtrix3", basis) @ dipys_functions(basis, degree, directions).T
    np.testing.assert_allclose(theirs, ours @ even_harmonics(directions, degree).T, atol=1e-9)


@pytest.mark.parametrize("old", BASES)
@pytest.mark.parametrize("new", BASES)
def test_there_and_back_is_nothing(old, new):
    given = coefficients(8)
    np.testing.assert_allclose(change_basis(change_basis(given, old, new), new, old), given, atol=1e-14)


def test_every_pair_agrees_with_the_way_through_mrtrix3():
    given = coefficients(6)
    for old in BASES:
        for new in BASES:
            through = change_basis(change_basis(given, old, "mrtrix3"), "mrtrix3", new)
            np.testing.assert_allclose(change_basis(given, old, new), through, atol=1e-14)


def test_legacy_descoteaux_is_dipys_own_reorder():
    given = coefficients(8)
    theirs = convert_sh_descoteaux_tournier(given)
    np.testing.assert_array_equal(change_basis(given, "descoteaux07_legacy", "tournier07"), theirs)


def test_single_precision_stays_single():
    given = coefficients(4).astype(np.float32)
    assert change_basis(given, "mrtrix3", "tournier07_legacy").dtype == np.float32


def test_the_four_of_dipy_differ():
    changed = [change_basis(coefficients(4), "mrtrix3", basis) for basis in DIPY_BASES]
    for first in range(4):
        for second in range(first):
            assert np.abs(changed[first] - changed[second]).max() > 0.1


def test_an_unknown_basis_is_named():
    with pytest.raises(ValueError, match="basis legendre: unknown; give one of mrtrix3, tournier07"):
        basis_change(4, "mrtrix3", "legendre")
