from itertools import pairwise

import numpy as np
import pytest

from shd.graphs.hemisphere import vertex_directions
from shd.scans.first_estimate import design
from shd.scans.linear_estimate import DEGREE, linear_estimate
from shd.signal.forward_model import fibre_signal
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients
from shd.simulation.tissues import B0_INTENSITY, tissue_responses
from shd.sphere.directions import normalised
from shd.sphere.harmonics import coefficient_degrees, even_harmonics

VERTICES = vertex_directions(8, hemisphere=True)


def model_of(protocol, tissues=3):
    gradients = protocol_gradients(protocol)
    responses = tissue_responses(np.array([shell.bvalue for shell in gradients.shells]))[:tissues]
    return gradients, responses, design(responses, gradients, VERTICES)


def test_it_is_the_mean_of_the_gaussian_model_given_the_signal():
    """Against draws: among many random fODFs and noises, no other linear rule has a smaller mean square error."""
    _, _, model = model_of(CLINICAL, tissues=1)
    noise, generator, count = 0.05, np.random.default_rng(0), 40_000
    values, degrees = even_harmonics(VERTICES, DEGREE), coefficient_degrees(DEGREE)
    deviation = np.sqrt(4 * np.pi * (0.5**2 + 0.3**2)) * np.ones(len(degrees))
    deviation[0] = np.sqrt(4 * np.pi) * 0.3
    coefficients = deviation * generator.standard_normal((count, len(degrees)))
    coefficients[:, 0] += np.sqrt(4 * np.pi) * 0.5
    densities = coefficients @ values.T
    columns = (model.columns / model.scale).numpy()
    signal = densities @ columns.T + noise * generator.standard_normal((count, len(columns)))
    weighted = model.weight.numpy() > 0
    design_matrix = np.column_stack([np.ones(count), signal[:, weighted]])
    best = np.linalg.lstsq(design_matrix, densities, rcond=None)[0]
    found = linear_estimate(model, VERTICES, noise)
    expected = design_matrix @ best
    mine = signal @ found.matrix.T + found.offset
    error = np.mean((mine - densities) ** 2) / np.mean((expected - densities) ** 2)
    assert error == pytest.approx(1.0, abs=0.01)


def test_without_noise_it_finds_the_part_and_the_direction():
    gradients, responses, model = model_of(RESEARCH)
    axis = normalised(np.array([[0.3, -0.5, 0.8]]))
    signal = 0.7 * fibre_signal(responses[0], gradients, axis)[:, 0] / B0_INTENSITY
    for shell, fluid in zip(gradients.shells, responses[2].mean_signal, strict=True):
        signal[shell.volumes] += 0.3 * fluid / B0_INTENSITY
    found = linear_estimate(model, VERTICES, 0.002)
    density = found.matrix @ signal + found.offset
    assert density.mean() == pytest.approx(0.7, abs=0.03)
    assert abs(VERTICES[density.argmax()] @ axis[0]) > np.cos(np.radians(7))


def test_what_is_seen_grows_with_signal_over_noise():
    _, _, model = model_of(RESEARCH)
    seen = [linear_estimate(model, VERTICES, noise).resolution for noise in (0.3, 0.05, 0.005)]
    assert all((earlier <= later + 1e-9).all() for earlier, later in pairwise(seen))
    assert (np.diff(seen[1]) < 0).all() and seen[2][0] > 0.99 and (seen[0] >= 0).all()
