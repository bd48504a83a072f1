import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.sims.voxel import single_tensor
from scipy.special import erf

from shd.signal.compartments import ball, stick, zeppelin, zonal_coefficients
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import coefficient_degrees, even_harmonics


def test_zeppelin_equals_dipys_axially_symmetric_tensor():
    directions = half_sphere(40)
    axis = np.array([0.48, -0.6, 0.64])
    bvalues = np.linspace(500.0, 3000.0, 40)
    frame = np.linalg.qr(np.column_stack([axis, np.eye(3)[:, :2]]))[0]
    table = gradient_table(bvalues, bvecs=directions)
    expected = single_tensor(table, 1.0, evals=[1.7e-3, 0.4e-3, 0.4e-3], evecs=frame)
    np.testing.assert_allclose(zeppelin(bvalues, directions @ axis, 1.7e-3, 0.4e-3), expected, rtol=1e-9)


def test_stick_is_a_zeppelin_that_does_not_diffuse_across():
    bvalues, cosines = np.full(9, 2500.0), np.linspace(-1, 1, 9)
    np.testing.assert_allclose(stick(bvalues, cosines, 1.7e-3), zeppelin(bvalues, cosines, 1.7e-3, 0.0), rtol=1e-12)


def test_ball_is_a_zeppelin_of_equal_diffusivities():
    bvalues, cosines = np.full(9, 2500.0), np.linspace(-1, 1, 9)
    np.testing.assert_allclose(ball(bvalues, 1e-3), zeppelin(bvalues, cosines, 1e-3, 1e-3), rtol=1e-12)


def test_zonal_coefficients_of_a_constant_are_its_value_times_root_four_pi():
    zonal = zonal_coefficients(lambda cosines: np.full_like(cosines, 7.0), 8)
    np.testing.assert_allclose(zonal, [7.0 * np.sqrt(4 * np.pi), 0, 0, 0, 0], atol=1e-12)


def test_zonal_coefficient_of_degree_zero_is_the_sticks_spherical_mean():
    x = 3000.0 * 1.7e-3
    mean = np.sqrt(np.pi) * erf(np.sqrt(x)) / (2 * np.sqrt(x))
    zonal = zonal_coefficients(lambda cosines: stick(np.full_like(cosines, 3000.0), cosines, 1.7e-3), 0)
    np.testing.assert_allclose(zonal, mean * np.sqrt(4 * np.pi), rtol=1e-10)


def test_zonal_series_gives_back_the_profile():
    directions = half_sphere(50)
    zonal = zonal_coefficients(lambda cosines: stick(np.full_like(cosines, 3000.0), cosines, 1.7e-3), 24)
    degrees = coefficient_degrees(24)
    coefficients = np.zeros(len(degrees))
    coefficients[[l * (l + 1) // 2 for l in range(0, 25, 2)]] = zonal
    signal = even_harmonics(directions, 24) @ coefficients
    np.testing.assert_allclose(signal, stick(np.full(50, 3000.0), directions[:, 2], 1.7e-3), atol=1e-8)


@pytest.mark.parametrize("degree", [-2, 3])
def test_zonal_coefficients_refuse_odd_and_negative_degrees(degree):
    with pytest.raises(ValueError, match=f"degree {degree}"):
        zonal_coefficients(np.ones_like, degree)
