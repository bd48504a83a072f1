import numpy as np
import pytest
import torch
from scipy.optimize import minimize, nnls

from shd.graphs.hemisphere import symmetry_permutations, vertex_directions
from shd.scans import first_estimate
from shd.scans.first_estimate import design, first_estimator
from shd.signal.forward_model import forward_model
from shd.signal.gradients import Gradients
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, protocol_gradients
from shd.simulation.tissues import B0_INTENSITY, CSF, GREY_MATTER, WHITE_MATTER, tissue_responses
from shd.sphere.directions import axial_angle, half_sphere

VERTICES = vertex_directions(8)
SPACING = 7.3  # degrees between neighbouring vertices at nside 8


def set_up(protocol, tissues=3):
    gradients = protocol_gradients(protocol)
    responses = tissue_responses(np.array([s.bvalue for s in gradients.shells]))[:tissues]
    return gradients, responses


def fibres(gradients, axes):
    signal = WHITE_MATTER.signal(gradients.bvalues[None], axes @ gradients.directions.T)
    return (signal / B0_INTENSITY).astype(np.float32)


@pytest.mark.parametrize(("protocol", "tissues"), [(RESEARCH, 3), (HARDI, 1)], ids=["multi-shell", "one shell"])
def test_a_fibre_without_noise_peaks_at_the_nearest_vertex(protocol, tissues):
    gradients, responses = set_up(protocol, tissues)
    axes = half_sphere(60)
    found = first_estimator(responses, gradients, VERTICES)(torch.from_numpy(fibres(gradients, axes))).numpy()
    peaks = VERTICES[found[:, : len(VERTICES)].argmax(1)]
    nearest = VERTICES[np.abs(axes @ VERTICES.T).argmax(1)]
    assert np.mean(axial_angle(peaks, nearest) < 1e-6) > 0.7
    assert axial_angle(peaks, axes).max() < 1.2 * SPACING


def test_few_directions_still_find_the_fibre():
    gradients, responses = set_up(CLINICAL, 1)
    axes = half_sphere(60)
    found = first_estimator(responses, gradients, VERTICES)(torch.from_numpy(fibres(gradients, axes))).numpy()
    assert np.median(axial_angle(VERTICES[found.argmax(1)], axes)) < SPACING


def test_pure_tissues_are_told_apart():
    gradients, responses = set_up(RESEARCH)
    balls = [tissue.signal(gradients.bvalues) / B0_INTENSITY for tissue in (GREY_MATTER, CSF)]
    signal = np.concatenate([fibres(gradients, np.array([[0.48, -0.6, 0.64]])), np.stack(balls).astype(np.float32)])
    found = first_estimator(responses, gradients, VERTICES)(torch.from_numpy(signal)).numpy()
    parts = np.column_stack([found[:, : len(VERTICES)].mean(1), found[:, len(VERTICES) :]])
    np.testing.assert_allclose(parts, np.eye(3), atol=0.12)
    np.testing.assert_allclose(parts.sum(1), 1, atol=0.05)
    assert found.min() >= 0


def problem(gradients, responses, vertices):
    """Return the columns, their weights and their scales, in double precision, written out once more."""
    model, count = forward_model(responses, gradients, vertices), len(vertices)
    scale = np.concatenate([np.full(count, count**0.5), np.ones(len(responses) - 1)])
    weight = np.zeros(len(gradients.bvalues))
    weighted = np.flatnonzero(gradients.bvalues > 50)
    weight[weighted] = 1 / len(weighted)
    if len(responses) > 1:
        weight[gradients.shells[0].volumes] = 1 / len(weighted)
    return np.concatenate([model.wm, model.isotropic], axis=1).astype(float) * scale, weight, scale


def dense_admm(columns, weight, scale, signal):
    """Return the estimates by 30 steps as Boyd et al. write them, with the whole inverse, in double precision."""
    ridge, penalty = 1e-5, 5e-4
    gather = columns.T * weight
    inverse = np.linalg.inv(gather @ columns + (ridge + penalty) * np.eye(columns.shape[1]))
    free = inverse @ gather @ signal.T
    positive, dual = np.maximum(free, 0), np.minimum(free, 0)
    for _ in range(30):
        free = inverse @ (gather @ signal.T + penalty * (positive - dual))
        positive, dual = np.maximum(free + dual, 0), np.minimum(free + dual, 0)
    return (positive * scale[:, None]).T


@pytest.mark.parametrize(
    ("protocol", "tissues"), [(RESEARCH, 3), (HARDI, 1), (CLINICAL, 2)], ids=["multi-shell", "one shell", "two tissues"]
)
def test_the_thin_products_are_the_dense_iteration(protocol, tissues):
    """Single precision costs less than 1e-5 of the largest value: half precision, in which it is kept, costs 2e-4."""
    gradients, responses = set_up(protocol, tissues)
    generator = np.random.default_rng(0)
    signal = fibres(gradients, half_sphere(40))
    signal = signal + generator.normal(0, 0.05, signal.shape).astype(np.float32)
    exact = dense_admm(*problem(gradients, responses, VERTICES), signal)
    estimator = first_estimator(responses, gradients, VERTICES)
    found = estimator(torch.from_numpy(signal)).numpy()
    assert estimator.lift.shape[0] <= 96
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5 * exact.max())


def test_the_iteration_converges_to_the_exact_non_negative_least_squares(monkeypatch):
    """Scipy's active sets on the same weighted, ridged problem; the default stops long before it converges."""
    monkeypatch.setattr(first_estimate, "STEPS", 1000)
    gradients, responses = set_up(RESEARCH)
    vertices = vertex_directions(2)
    columns, weight, scale = problem(gradients, responses, vertices)
    stacked = np.concatenate([np.sqrt(weight)[:, None] * columns, np.sqrt(1e-5) * np.eye(26)])
    estimator = first_estimator(responses, gradients, vertices)
    generator = np.random.default_rng(0)
    signal = fibres(gradients, half_sphere(12)) + generator.normal(0, 0.05, (12, 126)).astype(np.float32)
    found = estimator(torch.from_numpy(signal)).numpy() / scale
    for ours, values in zip(found, signal, strict=True):
        target = np.concatenate([np.sqrt(weight) * values, np.zeros(26)])
        best = nnls(stacked, target)[1]
        assert np.linalg.norm(stacked @ ours - target) < 1.02 * best


def test_signals_are_left_as_they_are():
    """The iteration works in place on what is its own."""
    gradients, responses = set_up(RESEARCH)
    signal = torch.rand(5, 126, generator=torch.Generator().manual_seed(0))
    kept = signal.clone()
    first_estimator(responses, gradients, vertex_directions(2))(signal)
    assert torch.equal(signal, kept)


def test_turning_the_gradients_by_the_grids_symmetries_turns_the_estimate():
    gradients, responses = set_up(RESEARCH)
    vertices = vertex_directions(4)
    signal = torch.rand(5, 126, generator=torch.Generator().manual_seed(0))
    still = first_estimator(responses, gradients, vertices)(signal)
    for matrix, permutation in symmetry_permutations(4):
        turned = Gradients(gradients.bvalues, gradients.directions @ matrix.T, gradients.shells)
        found = first_estimator(responses, turned, vertices)(signal)
        source = torch.from_numpy(np.concatenate([permutation, [96, 97]]))
        assert float((found - still[:, source]).abs().max() / still.max()) < 1e-3


@pytest.mark.parametrize("tissues", [1, 3])
def test_every_volume_counts_alike_and_those_at_b0_only_with_several_tissues(tissues):
    gradients, responses = set_up(RESEARCH, tissues)
    model = design(responses, gradients, VERTICES)
    expected = np.full(126, 1 / 120)
    expected[:6] *= tissues > 1
    np.testing.assert_allclose(model.weight, expected, rtol=1e-12)
    np.testing.assert_array_equal(model.volumes, np.arange(6, 126))


def test_the_columns_predict_the_signal_of_fractions():
    """White matter's fractions are a density of mean 1: a full voxel of one fibre is V at its vertex."""
    gradients, responses = set_up(RESEARCH)
    model = design(responses, gradients, VERTICES)
    fractions = np.zeros(len(VERTICES) + 2)
    fractions[[7, -1]] = 0.6 * len(VERTICES), 0.4
    ball = CSF.signal(gradients.bvalues) / B0_INTENSITY
    expected = 0.6 * fibres(gradients, VERTICES[7:8])[0] + 0.4 * ball
    np.testing.assert_allclose(model.columns @ (torch.from_numpy(fractions) / model.scale), expected, atol=2e-3)


def test_a_pull_moves_the_estimate_to_the_optimum_with_a_linear_term():
    """Against bounded L-BFGS on ½‖Am − s‖² + ½ρ‖m‖² − pull·m, m ≥ 0, in double precision."""
    gradients, responses = set_up(RESEARCH)
    vertices, generator = vertex_directions(2), np.random.default_rng(0)
    columns, weight, scale = problem(gradients, responses, vertices)
    signal = fibres(gradients, half_sphere(6)) + generator.normal(0, 0.05, (6, 126)).astype(np.float32)
    pull = generator.normal(0, 0.02, (6, 26)).astype(np.float32)
    estimator = first_estimator(responses, gradients, vertices, ridge=3e-3)
    values, state = torch.from_numpy(signal), torch.zeros(6, 26)
    state = estimator.iterate(state, values @ estimator.start, torch.from_numpy(pull), 2000)
    found = estimator.fractions(state).numpy() / scale
    quadratic = (columns.T * weight) @ columns + 3e-3 * np.eye(26)
    for ours, linear in zip(found, (signal * weight) @ columns + pull, strict=True):
        best = minimize(
            lambda m, linear=linear: (0.5 * m @ quadratic @ m - linear @ m, quadratic @ m - linear),
            np.ones(26), jac=True, bounds=[(0, None)] * 26, method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-10},
        )  # fmt: skip
        np.testing.assert_allclose(ours, best.x, rtol=0, atol=1e-3 * best.x.max())
