from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from shd.graphs.hemisphere import symmetry_permutations, vertex_directions
from shd.scans import first_estimate
from shd.scans.coherent_estimate import SCALES, estimate_scan
from shd.scans.first_estimate import first_estimator
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
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
        b0 = gradients.shells[0].volumes
        weight[b0] = 1 / len(b0)
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
    monkeypatch.setattr(first_estimate, "_ITERATIONS", 1000)
    gradients, responses = set_up(RESEARCH)
    vertices = vertex_directions(2)
    columns, weight, scale = problem(gradients, responses, vertices)
    design = np.concatenate([np.sqrt(weight)[:, None] * columns, np.sqrt(1e-5) * np.eye(26)])
    estimator = first_estimator(responses, gradients, vertices)
    generator = np.random.default_rng(0)
    signal = fibres(gradients, half_sphere(12)) + generator.normal(0, 0.05, (12, 126)).astype(np.float32)
    found = estimator(torch.from_numpy(signal)).numpy() / scale
    for ours, values in zip(found, signal, strict=True):
        target = np.concatenate([np.sqrt(weight) * values, np.zeros(26)])
        best = nnls(design, target)[1]
        assert np.linalg.norm(design @ ours - target) < 1.02 * best


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


def test_a_scans_estimates_do_not_depend_on_the_block():
    gradients, responses = set_up(RESEARCH)
    vertices, generator = vertex_directions(2), np.random.default_rng(0)
    data = generator.uniform(100, 1000, (3, 4, 2, 126)).astype(np.float32)
    scan = normalise(Scan(data, np.eye(4), gradients, generator.random((3, 4, 2)) < 0.8))
    whole = estimate_scan(scan, responses, vertices)
    assert whole.shape == (len(scan.signal), SCALES, 26)
    parts = estimate_scan(scan, responses, vertices, block=5)
    np.testing.assert_allclose(whole, parts, rtol=2e-3, atol=2e-3)
    direct = first_estimator(responses, gradients, vertices)(torch.from_numpy(scan.signal)).numpy()
    np.testing.assert_allclose(whole[:, 0], direct, rtol=2e-3, atol=2e-3)


def test_a_scan_on_disk_is_read_as_it_is(tmp_path):
    """Block by block from a read-only file, as a whole brain may be."""
    gradients, responses = set_up(RESEARCH)
    vertices, generator = vertex_directions(2), np.random.default_rng(0)
    data = generator.uniform(100, 1000, (3, 4, 2, 126)).astype(np.float32)
    scan = normalise(Scan(data, np.eye(4), gradients, np.ones((3, 4, 2), bool)))
    np.save(tmp_path / "signal.npy", scan.signal)
    stored = replace(scan, signal=np.load(tmp_path / "signal.npy", mmap_mode="r"))
    found = estimate_scan(stored, responses, vertices, block=7)
    np.testing.assert_array_equal(found, estimate_scan(scan, responses, vertices, block=7))
