"""Predicted signals against the forward model and the phantom's own; the noise against what was added."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import ResponseError
from shd.evaluation.signal_prediction import noise_by_shell, predicted_signal
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.signal.forward_model import fibre_signal
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import RESEARCH, protocol_gradients
from shd.sphere.directions import normalised
from shd.sphere.harmonics import even_harmonics

EVERYWHERE = np.ones((1, 1, 2), dtype=bool)


def test_signal_of_a_fibre_is_the_forward_models():
    gradients = protocol_gradients(RESEARCH)
    response = single_bundle(np.array([0, 0, 1.0]), np.eye(4), shape=(1, 1, 1)).responses[0]
    fibres = normalised(np.array([[0.3, -0.5, 0.8], [1.0, 0.2, 0.1]]))
    wm = even_harmonics(fibres, 12).reshape(1, 1, 2, -1)
    field = FodField(wm, {}, np.eye(4), EVERYWHERE)
    expected = fibre_signal(response, gradients, fibres).T
    np.testing.assert_allclose(predicted_signal(field, (response,), gradients, EVERYWHERE), expected, rtol=1e-10)


def test_signal_of_the_truth_is_the_phantoms_with_all_tissues():
    phantom = crossing_phantom(60.0, shape=(8, 8, 5), snr=None)
    truth = Truth.of(phantom)
    tissues = {name: truth.tissue_fractions[..., n] / np.sqrt(4 * np.pi) for n, name in ((1, "gm"), (2, "csf"))}
    field = FodField(truth.fods, tissues, truth.affine, truth.mask)
    predicted = predicted_signal(field, phantom.responses, phantom.scan.gradients, truth.mask)
    difference = np.abs(predicted - phantom.noise_free[truth.mask])
    assert difference.max() < 4.0  # of 1000: what bends inside a voxel, and degree 12, leave
    assert difference.mean() < 0.1


def test_tissues_a_result_does_not_hold_contribute_nothing():
    phantom = single_bundle(np.array([0, 0, 1.0]), np.eye(4), shape=(1, 1, 2))
    field = FodField(Truth.of(phantom).fods, {}, np.eye(4), EVERYWHERE)
    alone = predicted_signal(field, phantom.responses[:1], phantom.scan.gradients, EVERYWHERE)
    with_others = predicted_signal(field, phantom.responses, phantom.scan.gradients, EVERYWHERE)
    np.testing.assert_array_equal(alone, with_others)


def test_responses_of_other_shells_are_refused():
    phantom = single_bundle(np.array([0, 0, 1.0]), np.eye(4), shape=(1, 1, 2))
    field = FodField(Truth.of(phantom).fods, {}, np.eye(4), EVERYWHERE)
    one_shell = phantom.scan.gradients.select(np.arange(36))
    with pytest.raises(ResponseError, match=r"wm of 4 shells.*each of the scan's 2 shells"):
        predicted_signal(field, phantom.responses, one_shell, EVERYWHERE)
    with pytest.raises(ResponseError, match="white matter first"):
        predicted_signal(field, phantom.responses[::-1], phantom.scan.gradients, EVERYWHERE)


def test_noise_is_what_was_added():
    phantom = crossing_phantom(60.0, shape=(10, 10, 6), snr=None)
    data = phantom.noise_free.copy()
    generator = np.random.default_rng(0)
    added = {1000.0: 20.0, 2000.0: 35.0, 3000.0: 50.0}
    for shell in phantom.scan.gradients.weighted_shells:
        data[..., shell.volumes] += generator.normal(0, added[shell.bvalue], size=data[..., shell.volumes].shape)
    found = noise_by_shell(replace(phantom.scan, data=data), phantom.scan.mask)
    assert found == pytest.approx(added, rel=0.03)
