"""fODF distances against quadrature on the sphere, SciPy, and their own limits."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from shd.evaluation.fod_distance import angular_correlation, jensen_shannon
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import coefficient_degrees, even_harmonics
from shd.sphere.rotations import random_rotation, rotate_harmonics


def smooth_fibre(direction: tuple[float, ...], degree: int = 12, sigma_degrees: float = 8.0) -> np.ndarray:
    """One fibre's fODF, spread by a Gaussian, as a row."""
    order = coefficient_degrees(degree)
    spread = np.exp(-0.5 * np.radians(sigma_degrees) ** 2 * order * (order + 1))
    return even_harmonics(np.array([direction]), degree) * spread


X, Z, BETWEEN = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, 0.8)


def random_fods(count: int, degree: int) -> np.ndarray:
    return np.random.default_rng(degree).normal(size=(count, (degree + 1) * (degree + 2) // 2))


def test_correlation_is_the_correlation_of_values_over_the_sphere():
    first, second = random_fods(20, 8), random_fods(20, 6)
    directions = half_sphere(40000)
    a, b = first @ even_harmonics(directions, 8).T, second @ even_harmonics(directions, 6).T
    expected = [np.corrcoef(u, v)[0, 1] for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(angular_correlation(first, second), expected, atol=2e-3)


def test_correlation_does_not_see_size_or_mean_but_sharpness_and_direction():
    fibre = smooth_fibre(Z)
    louder = 3.0 * fibre
    louder[:, 0] += 5.0
    assert angular_correlation(fibre, louder)[0] == pytest.approx(1.0)
    blunt = angular_correlation(smooth_fibre(Z, 8), fibre)[0]
    turned = angular_correlation(smooth_fibre(BETWEEN), fibre)[0]
    assert turned < blunt < 1.0
    assert angular_correlation(-fibre, fibre)[0] == pytest.approx(-1.0)


def test_correlation_without_direction_is_not_a_number():
    ball = np.zeros((1, 45))
    ball[0, 0] = 1.0
    assert np.isnan(angular_correlation(ball, smooth_fibre(Z))).all()


def test_divergence_equals_scipys_on_the_same_directions():
    first, second = random_fods(8, 8), random_fods(8, 12)
    directions = half_sphere(1000)
    p = np.maximum(first @ even_harmonics(directions, 8).T, 0)
    q = np.maximum(second @ even_harmonics(directions, 12).T, 0)
    expected = jensenshannon(p, q, base=2, axis=1) ** 2
    np.testing.assert_allclose(jensen_shannon(first, second), expected, atol=1e-9)


def test_divergence_does_not_depend_on_the_directions_that_sample_it():
    first, second = np.abs(random_fods(8, 6)), random_fods(8, 6)
    rotation = random_rotation(np.random.default_rng(1))
    turned = (rotate_harmonics(field, rotation, 6) for field in (first, second))
    np.testing.assert_allclose(jensen_shannon(*turned), jensen_shannon(first, second), atol=4e-3)


def test_divergence_runs_from_equal_to_disjoint():
    fibre = smooth_fibre(Z)
    assert jensen_shannon(fibre, 4.0 * fibre)[0] == pytest.approx(0.0, abs=1e-12)
    near, far = jensen_shannon(fibre, smooth_fibre(BETWEEN))[0], jensen_shannon(fibre, smooth_fibre(X))[0]
    assert 0.3 < near < far <= 1.0
    assert far > 0.85  # ringing at degree 12 leaves a little everywhere


def test_divergence_is_symmetric():
    first, second = random_fods(5, 8), random_fods(5, 4)
    np.testing.assert_allclose(jensen_shannon(first, second), jensen_shannon(second, first))


def test_divergence_of_nothing_is_not_a_number():
    nothing = np.zeros((1, 45))
    assert np.isnan(jensen_shannon(nothing, smooth_fibre(Z))).all()


def test_many_voxels_are_taken_in_blocks():
    first = np.repeat(random_fods(2, 4), 1500, axis=0)
    second = np.repeat(random_fods(2, 6), 1500, axis=0)
    values = jensen_shannon(first, second)
    assert values.shape == (3000,) and len(np.unique(values.round(12))) == 2
