import numpy as np
import pytest

from shd.errors import SimulationError
from shd.signal.gradients import gradient_table
from shd.simulation.fibre_signal import ACCURACY, harmonic_recurrence, sufficient_degree, volume_responses
from shd.simulation.sampling_kernel import _add_harmonics
from shd.simulation.tissues import B0_INTENSITY, WHITE_MATTER, Fibre
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import even_harmonics

STICK = Fibre(1.0, 1.7e-3, 0.0)


@pytest.mark.parametrize("degree", [12, 26])
def test_recurrence_gives_the_harmonics(degree):
    directions = np.vstack([half_sphere(50), -half_sphere(50)[::7], np.eye(3), -np.eye(3)])
    expected = even_harmonics(directions, degree)
    for direction, row in zip(directions, expected, strict=True):
        total = np.zeros(len(row))
        _add_harmonics(0.5, *direction, degree, *harmonic_recurrence(degree), total)
        np.testing.assert_allclose(total, 0.5 * row, atol=1e-10)


@pytest.mark.parametrize(("fibre", "bvalue"), [(WHITE_MATTER, 1000.0), (WHITE_MATTER, 5000.0), (STICK, 12000.0)])
def test_series_of_the_degree_chosen_is_the_signal(fibre, bvalue):
    directions = half_sphere(40)
    table = gradient_table(np.r_[0.0, np.full(40, bvalue)], np.vstack([np.zeros(3), directions]))
    degree = sufficient_degree((fibre,), bvalue)
    axis = np.array([0.48, -0.6, 0.64])
    found = even_harmonics(axis[None], degree)[0] @ volume_responses((fibre,), table, degree)[0]
    expected = fibre.signal(table.bvalues, table.directions @ axis)
    np.testing.assert_allclose(found, expected, atol=ACCURACY * B0_INTENSITY)


def test_degree_grows_with_the_b_value_and_is_not_wasteful():
    degrees = [sufficient_degree((WHITE_MATTER,), b) for b in (1000.0, 3000.0, 10000.0)]
    assert degrees == sorted(degrees)
    assert degrees[0] < 18 < degrees[2]


def test_a_b_value_beyond_all_degrees_is_refused():
    with pytest.raises(SimulationError, match="b = 100000"):
        sufficient_degree((STICK,), 100_000.0)


def test_volumes_are_computed_at_their_own_b_values():
    directions = half_sphere(12)
    bvalues = np.r_[0.0, np.linspace(990, 1010, 12)]
    table = gradient_table(bvalues, np.vstack([np.zeros(3), directions]))
    assert len(table.weighted_shells) == 1
    found = even_harmonics(directions[:1], 20)[0] @ volume_responses((WHITE_MATTER,), table, 20)[0]
    expected = WHITE_MATTER.signal(table.bvalues, table.directions @ directions[0])
    np.testing.assert_allclose(found, expected, atol=1e-3)
