import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from shd.graphs.hemisphere import vertex_directions
from shd.inference.amounts import _non_negative, amounts_by_signal
from shd.scans.first_estimate import design
from shd.signal.noise import add_rician_noise, rician_bias
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients
from shd.simulation.tissues import tissue_responses

VERTICES = vertex_directions(8, hemisphere=True)
TRUE = np.array([[1.0, 0.0, 0.0], [0.6, 0.3, 0.1], [0.2, 0.0, 0.8], [0.0, 0.7, 0.3]])


def problem(protocol, tissues=3):
    gradients = protocol_gradients(protocol)
    responses = tissue_responses(np.array([shell.bvalue for shell in gradients.shells]))[:tissues]
    model = design(responses, gradients, VERTICES)
    shapes = np.zeros((len(VERTICES), len(TRUE)))
    for voxel, fibres in enumerate(([5], [5, 200], [100, 101], [300])):
        shapes[fibres, voxel] = len(VERTICES) / len(fibres)
    columns = (model.columns / model.scale).numpy()
    signal = columns[:, : len(VERTICES)] @ (shapes * TRUE[:, 0]) + columns[:, len(VERTICES) :] @ TRUE[:, 1:tissues].T
    return model, shapes, signal.T


def found_by(model, shapes, said, signal, sigma):
    wm = torch.from_numpy(shapes * said[:, 0]).float()
    others, noise = torch.from_numpy(said[:, 1:]).float(), torch.full((len(said),), sigma)
    with_signal = amounts_by_signal(model)(wm, others, torch.from_numpy(signal).float(), noise)
    return with_signal[0].numpy(), np.column_stack([with_signal[0].mean(0), with_signal[1]])


def test_wrong_amounts_are_put_right_and_shapes_stay():
    model, shapes, signal = problem(RESEARCH)
    said = np.array([[1.4, 0.1, 0.05], [0.4, 0.4, 0.3], [0.3, 0.2, 0.3], [0.1, 0.5, 0.5]])
    wm, found = found_by(model, shapes, said, signal, 1e-3)
    np.testing.assert_allclose(found, TRUE, atol=0.01)
    np.testing.assert_allclose(wm, shapes * found[:, 0], atol=1e-3)


def test_in_one_shell_the_shape_tells_white_matter_from_the_rest():
    model, shapes, signal = problem(CLINICAL)
    _, found = found_by(model, shapes, np.full_like(TRUE, 0.33), signal, 0.01)
    np.testing.assert_allclose(found, TRUE, atol=0.02)


def test_within_the_noise_it_is_left_to_the_network():
    model, shapes, signal = problem(CLINICAL)
    said, weighted = np.full_like(TRUE, 0.33), model.volumes.numpy()
    floor = rician_bias(torch.from_numpy(signal[:, weighted]), torch.full((1,), 5.0)).numpy()
    signal[:, weighted] += floor
    _, found = found_by(model, shapes, said, signal, 5.0)
    np.testing.assert_allclose(found, said, atol=0.03)


def test_without_white_matter_there_is_no_shape():
    model, shapes, signal = problem(RESEARCH)
    wm, found = found_by(model, 0 * shapes, TRUE, signal, 0.01)
    assert not wm.any() and np.isfinite(found).all()


def test_the_noise_floor_is_no_tissue():
    model, shapes, signal = problem(RESEARCH)
    many = [np.repeat(part, 500, axis=axis) for part, axis in ((shapes, 1), (TRUE, 0), (signal, 0))]
    noisy = add_rician_noise(many[2], 0.08, np.random.default_rng(0))
    _, found = found_by(model, many[0], many[1], noisy, 0.08)
    means = found.reshape(len(TRUE), 500, 3).mean(axis=1)
    np.testing.assert_allclose(means.sum(axis=1), 1.0, atol=0.02)
    np.testing.assert_allclose(means, TRUE, atol=0.05)


@pytest.mark.parametrize("tissues", [1, 2, 3])
def test_against_scipys_non_negative_least_squares(tissues):
    generator = np.random.default_rng(tissues)
    matrices = generator.standard_normal((200, 12, tissues)) + 0.8
    targets = matrices @ generator.standard_normal((200, tissues, 1))
    expected = np.array([nnls(a, b[:, 0])[0] for a, b in zip(matrices, targets, strict=True)])
    normal = torch.from_numpy(matrices.transpose(0, 2, 1) @ matrices)
    found = _non_negative(normal, torch.from_numpy((matrices.transpose(0, 2, 1) @ targets)[..., 0])).numpy()
    residual = [np.sum((matrices @ x[..., None] - targets) ** 2, axis=(1, 2)) for x in (found, expected)]
    assert (found >= 0).all() and np.mean(np.abs(found - expected).max(axis=1) < 1e-6) > 0.9
    np.testing.assert_array_less(residual[0], 1.3 * residual[1] + 1e-9)
