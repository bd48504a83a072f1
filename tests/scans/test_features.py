import numpy as np
import pytest
import torch

from shd.graphs.hemisphere import symmetry_permutations, vertex_directions
from shd.scans.coherent_estimate import SCALES
from shd.scans.features import feature_count, shell_fits, spherical_features
from shd.signal.gradients import Gradients, gradient_table
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, protocol_gradients
from shd.simulation.tissues import WHITE_MATTER, tissue_responses
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import even_harmonics

VERTICES = vertex_directions(4)
protocols = pytest.mark.parametrize("protocol", [CLINICAL, HARDI, RESEARCH], ids=lambda p: p.name)


def shell_interpolation(gradients, vertices):
    """From the volumes to each shell's signal at the vertices, (shell, vertex, volume): fit, then evaluate."""
    return even_harmonics(vertices, 8) @ shell_fits(gradients)


def turned(gradients, matrix):
    return Gradients(gradients.bvalues, gradients.directions @ matrix.T, gradients.shells)


@protocols
def test_a_constant_signal_is_constant_on_the_sphere(protocol):
    gradients = protocol_gradients(protocol)
    values = shell_interpolation(gradients, VERTICES) @ np.full(len(gradients.bvalues), 0.7)
    np.testing.assert_allclose(values, 0.7, atol=1e-3)  # the smoothing leaks between degrees of uneven directions


@protocols
def test_a_shell_depends_on_its_own_volumes_alone(protocol):
    gradients = protocol_gradients(protocol)
    matrices = shell_interpolation(gradients, VERTICES)
    for matrix, shell in zip(matrices, gradients.weighted_shells, strict=True):
        others = np.setdiff1d(np.arange(len(gradients.bvalues)), shell.volumes)
        assert not matrix[:, others].any()
        assert np.all(np.abs(matrix[:, shell.volumes]).max(0) > 0)


def test_a_fibres_signal_is_interpolated():
    """To 8 % of its largest value, which is what the smoothing takes; its spread over the sphere is 35 %."""
    gradients = protocol_gradients(HARDI)
    axis = np.array([0.48, -0.6, 0.64])
    values = shell_interpolation(gradients, VERTICES)[0] @ WHITE_MATTER.signal(
        gradients.bvalues, gradients.directions @ axis
    )
    expected = WHITE_MATTER.signal(np.full(len(VERTICES), 3000.0), VERTICES @ axis)
    assert np.sqrt(np.mean((values - expected) ** 2)) < 0.08 * expected.max()
    assert np.corrcoef(values, expected)[0, 1] > 0.98


def test_smooth_signals_pass_unchanged_but_for_the_penalty():
    """Each harmonic of degree l shrinks by about 1/(1 + λ(l(l+1))²·4π/N), and mixes little."""
    gradients = protocol_gradients(HARDI)
    shell = gradients.weighted_shells[0]
    signal = np.zeros(len(gradients.bvalues))
    signal[shell.volumes] = even_harmonics(gradients.shell_directions(shell), 2)[:, 4]
    found = shell_interpolation(gradients, VERTICES)[0] @ signal
    shrunk = 1 / (1 + 0.006 * 36 * 4 * np.pi / len(shell.volumes))
    np.testing.assert_allclose(found, shrunk * even_harmonics(VERTICES, 2)[:, 4], atol=0.01)


@protocols
def test_opposite_gradients_give_the_same_features(protocol):
    gradients = protocol_gradients(protocol)
    opposite = shell_interpolation(turned(gradients, -np.eye(3)), VERTICES)
    np.testing.assert_allclose(opposite, shell_interpolation(gradients, VERTICES), atol=1e-9)


def test_turning_the_gradients_by_the_grids_symmetries_permutes_the_vertices():
    gradients = protocol_gradients(RESEARCH)
    still = shell_interpolation(gradients, VERTICES)
    for matrix, permutation in symmetry_permutations(4):
        found = shell_interpolation(turned(gradients, matrix), VERTICES)
        np.testing.assert_allclose(found, still[:, permutation], atol=1e-9)


def test_few_directions_lower_the_degree_instead_of_failing():
    directions = np.concatenate([np.zeros((1, 3)), half_sphere(6)])
    gradients = gradient_table(np.array([0.0] + [1000.0] * 6), directions)
    values = shell_interpolation(gradients, VERTICES)[0] @ np.ones(7)
    np.testing.assert_allclose(values, 1, atol=0.02)


def test_channels_are_the_estimates_then_the_shells_on_masked_voxels():
    gradients = protocol_gradients(RESEARCH)
    responses = tissue_responses(np.array([s.bvalue for s in gradients.shells]))
    features, generator = spherical_features(gradients, VERTICES), torch.Generator().manual_seed(0)
    mask = (torch.rand(2, 3, 2, 2, generator=generator) < 0.5).float()
    count = int(mask.sum())
    signal = torch.rand(count, len(gradients.bvalues), generator=generator)
    estimates = torch.rand(count, SCALES, len(VERTICES) + 2, generator=generator)
    field = features(signal, estimates, torch.ones(count), mask)
    assert field.shape == (len(VERTICES), *mask.shape, feature_count(responses, gradients))
    assert not field[:, mask == 0].any()
    shells = torch.from_numpy(shell_interpolation(gradients, VERTICES)).float()
    for row, voxel in enumerate(torch.argwhere(mask > 0)):
        values = field[(slice(None), *voxel)]
        for scale in range(SCALES):
            torch.testing.assert_close(values[:, 3 * scale], estimates[row, scale, :-2])
            for tissue in (0, 1):
                assert torch.all(values[:, 3 * scale + 1 + tissue] == estimates[row, scale, len(VERTICES) + tissue])
        torch.testing.assert_close(values[:, 3 * SCALES :], (shells @ signal[row]).T, rtol=1e-4, atol=1e-5)
