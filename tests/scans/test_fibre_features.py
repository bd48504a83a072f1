from dataclasses import replace

import numpy as np
import pytest
import torch

from shd.errors import ResponseError
from shd.graphs.hemisphere import vertex_directions
from shd.models.config import ModelConfig
from shd.scans.coherent_estimate import SCALES, estimate_scan, relative_noise
from shd.scans.fibre_features import fibre_feature_count, fibre_features
from shd.scans.network_input import network_input
from shd.scans.normalisation import normalise
from shd.signal.response import TISSUES
from shd.simulation import crossing_phantom
from shd.simulation.protocols import CLINICAL, RESEARCH, Protocol, protocol_gradients
from shd.simulation.tissues import tissue_responses
from shd.sphere.rotations import random_rotation

VERTICES = vertex_directions(8, hemisphere=True)
SHAPE = (5, 5, 4)
LINEAR, SCORE, PLAINNESS, RESOLUTION = (SCALES * len(TISSUES) + place for place in range(4))


def scan_of(protocol=RESEARCH, snr=20.0, tissues=3):
    phantom = crossing_phantom(60.0, shape=SHAPE, protocol=protocol, snr=snr, seed=2)
    return normalise(phantom.scan), phantom.responses[:tissues], phantom


def fields(scan, responses, noise=None, estimates=None):
    noise = relative_noise(scan) if noise is None else noise
    features = fibre_features(responses, scan.gradients, VERTICES, noise, TISSUES)
    estimates = estimate_scan(scan, responses, VERTICES, noise=noise) if estimates is None else estimates
    mask = torch.from_numpy((scan.rows >= 0).astype(np.float32))[None]
    signal, tensor = torch.from_numpy(scan.signal), torch.from_numpy(estimates).float()
    return features(signal, tensor, torch.from_numpy(noise), mask), estimates


@pytest.mark.parametrize(
    "protocol", [Protocol("six", 1, ((1000.0, 6),)), CLINICAL, RESEARCH], ids=lambda protocol: protocol.name
)
@pytest.mark.parametrize("tissues", [1, 3])
def test_every_protocol_has_the_same_channels(protocol, tissues):
    scan, responses, _ = scan_of(protocol, tissues=tissues)
    found, estimates = fields(scan, responses)
    assert found.shape == (len(VERTICES), 1, *SHAPE, fibre_feature_count(TISSUES)) and torch.isfinite(found).all()
    first, last = estimates[7], np.argwhere(scan.rows == 7)[0]
    values = found[(slice(None), 0, *last)]
    for scale in range(SCALES):
        np.testing.assert_array_equal(values[:, 3 * scale], first[scale, : len(VERTICES)])
        for place in (1, 2):
            expected = first[scale, len(VERTICES) + place - 1] if tissues == 3 else 0.0
            assert (values[:, 3 * scale + place] == expected).all()
    assert (values[:, -2:] == (tissues == 3)).all()


def test_nothing_outside_the_mask():
    _, responses, phantom = scan_of()
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 2, 1:3] = True
    found, _ = fields(normalise(replace(phantom.scan, mask=mask)), responses)
    assert not found[:, 0, ~mask].any() and found[:, 0, mask].any()


def test_the_score_of_noise_alone_has_deviation_one():
    """Where the answer is exact the residual is noise, and no direction stands out but by it."""
    scan, responses, _ = scan_of(snr=None)
    generator = np.random.default_rng(0)
    clean = scan.signal.astype(np.float64)
    sigma = 0.02
    noisy = replace(scan, signal=(clean + sigma * generator.standard_normal(clean.shape)).astype(np.float32))
    noise = np.full(len(clean), sigma, np.float32)
    exact = estimate_scan(scan, responses, VERTICES, noise=np.full(len(clean), 1e-3, np.float32))
    quiet, _ = fields(scan, responses, noise, exact)
    loud, _ = fields(noisy, responses, noise, exact)
    inside = scan.rows >= 0
    difference = 4.0 * (loud - quiet)[:, 0, inside][..., SCORE]
    assert float(difference.std()) == pytest.approx(1.0, rel=0.1)


def test_the_score_points_to_a_fibre_that_the_estimate_leaves_out():
    scan, responses, phantom = scan_of(snr=None)
    noise = np.full(len(scan.signal), 0.02, np.float32)
    estimates = estimate_scan(scan, responses, VERTICES, noise=noise)
    inside = scan.rows >= 0
    fraction, direction = phantom.fractions[inside], phantom.directions[inside]
    row = int(np.argmax(fraction[:, 0]))  # a voxel full of one bundle
    near = np.abs(VERTICES @ direction[row, 0]) > np.cos(np.radians(20))
    estimates[row, 1, : len(VERTICES)][near] = 0
    found, _ = fields(scan, responses, noise, estimates)
    score = found[:, 0, inside][:, row, SCORE]
    assert np.abs(VERTICES[int(score.argmax())] @ direction[row, 0]) > np.cos(np.radians(10))


def test_more_directions_and_less_noise_are_seen():
    few, many = scan_of(Protocol("few", 1, ((1000.0, 12),))), scan_of(Protocol("many", 1, ((1000.0, 60),)))
    noise = np.full(len(few[0].signal), 0.05, np.float32)
    first, second, third = (
        fields(scan, responses, deviation)[0][0, 0, 2, 2, 2]
        for scan, responses, deviation in ((*few[:2], noise), (*many[:2], noise), (*many[:2], noise / 4))
    )
    for lower, higher in ((first, second), (second, third)):
        assert (lower[RESOLUTION : RESOLUTION + 4] <= higher[RESOLUTION : RESOLUTION + 4] + 1e-6).all()
        assert lower[PLAINNESS] < higher[PLAINNESS]
    assert float(third[PLAINNESS] - second[PLAINNESS]) == pytest.approx(np.log10(4), abs=1e-4)


def test_features_turn_with_gradients_and_vertices():
    """A rotation of gradients and sphere together changes nothing: no channel knows the scanner's axes."""
    scan, responses, _ = scan_of()
    turn = random_rotation(np.random.default_rng(3))
    noise = relative_noise(scan)
    table = scan.gradients
    turned = replace(table, directions=table.directions @ turn.T)
    estimates = estimate_scan(scan, responses, VERTICES, noise=noise)
    mask = torch.ones(1, *SHAPE)
    inputs = torch.from_numpy(scan.signal), torch.from_numpy(estimates).float(), torch.from_numpy(noise), mask
    still = fibre_features(responses, table, VERTICES, noise, TISSUES)(*inputs)
    moved = fibre_features(responses, turned, VERTICES @ turn.T, noise, TISSUES)(*inputs)
    torch.testing.assert_close(moved, still, rtol=1e-3, atol=2e-4)


def test_a_network_takes_only_what_it_can_answer():
    scan, responses, _ = scan_of()
    noise = relative_noise(scan)
    white = ModelConfig(fibre_feature_count(("wm",)), ("wm",), features="fibre")
    with pytest.raises(ResponseError, match=r"3 tissues \(wm, gm, csf\), the network wm"):
        network_input(white, responses, scan.gradients, VERTICES, noise)
    shells = ModelConfig(9, TISSUES)
    assert network_input(shells, responses, scan.gradients, VERTICES, noise).answers == (0, 1)
    clinical = protocol_gradients(CLINICAL)
    others = tissue_responses(np.array([0.0, 1000.0]))
    with pytest.raises(ResponseError, match="7 channels, the network wm, gm, csf and 9"):
        network_input(shells, others, clinical, VERTICES, noise)
