import numpy as np
import pytest

from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, protocol_gradients
from shd.sphere.directions import axial_angle, half_sphere
from shd.sphere.harmonics import even_harmonics


def nearest_angles(axes: np.ndarray) -> np.ndarray:
    angles = axial_angle(axes[:, None], axes[None])
    return np.sort(angles, axis=1)[:, 1]


@pytest.mark.parametrize("protocol", [RESEARCH, HARDI, CLINICAL])
def test_gradients_hold_the_shells_of_the_protocol(protocol):
    gradients = protocol_gradients(protocol)
    assert [(s.bvalue, len(s.volumes)) for s in gradients.shells] == [(0.0, protocol.b0_count), *protocol.shells]
    assert sorted(np.concatenate([s.volumes for s in gradients.shells])) == list(range(len(gradients.bvalues)))
    for shell in gradients.shells:
        np.testing.assert_array_equal(gradients.bvalues[shell.volumes], shell.bvalue)
        lengths = np.linalg.norm(gradients.directions[shell.volumes], axis=1)
        np.testing.assert_allclose(lengths, 0.0 if shell.bvalue == 0 else 1.0, atol=1e-12)


def test_axes_of_a_shell_are_more_even_than_the_spiral_they_start_from():
    gradients = protocol_gradients(RESEARCH)
    for shell in gradients.shells[1:]:
        axes = gradients.directions[shell.volumes]
        assert nearest_angles(axes).min() > 1.1 * nearest_angles(half_sphere(len(axes))).min()


def test_research_protocol_determines_degree_eight_on_its_outer_shell_well():
    gradients = protocol_gradients(RESEARCH)
    assert np.linalg.cond(even_harmonics(gradients.directions[gradients.shells[3].volumes], 8)) < 2.0


def test_shells_measure_different_axes_on_both_half_spheres():
    gradients = protocol_gradients(RESEARCH)
    first, second = (gradients.directions[shell.volumes] for shell in gradients.shells[1:3])
    assert axial_angle(first[:, None], second[None]).min() > 0.1
    assert np.abs(gradients.directions[gradients.shells[3].volumes].mean(axis=0)).max() < 0.25


def test_gradients_repeat():
    first, second = protocol_gradients(RESEARCH), protocol_gradients(RESEARCH)
    np.testing.assert_array_equal(first.directions, second.directions)
