from dataclasses import replace

import numpy as np
import pytest
import torch

from shd.graphs.hemisphere import vertex_directions
from shd.models.config import ModelConfig
from shd.models.deconvolver import TissueFractions
from shd.scans.coherent_estimate import estimate_scan, relative_noise
from shd.scans.fibre_features import fibre_feature_count
from shd.scans.normalisation import normalise
from shd.signal.response import TISSUES
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training.losses.objective import LossWeights
from shd.training.settings import FitSettings
from shd.training.view import held_out_parts, make_view

SHAPE = (4, 4, 3)
SETTINGS = FitSettings(steps=1, device="cpu", weights=LossWeights(support=0.0, likeness=0.0))
CONFIG = ModelConfig(fibre_feature_count(TISSUES), TISSUES, features="fibre")
VERTICES = vertex_directions(8, hemisphere=True)


def scan_of(*shells):
    phantom = crossing_phantom(60.0, shape=SHAPE, protocol=Protocol("some", 2, shells))
    return normalise(phantom.scan), phantom.responses


def test_parts_share_out_the_shells_that_can_spare_them():
    scan, _ = scan_of((1000.0, 7), (2000.0, 9), (3000.0, 20))
    parts = held_out_parts(scan, 3)
    shells = scan.gradients.weighted_shells
    assert len(parts) == 3
    np.testing.assert_array_equal(
        np.sort(np.concatenate(parts)), np.concatenate([shells[1].volumes, shells[2].volumes])
    )
    for part in parts:
        assert len(np.intersect1d(part, shells[1].volumes)) == 3


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_no_parts_of_few_directions(parts):
    assert held_out_parts(scan_of((1000.0, 8))[0], parts) == ()


def test_what_is_predicted_is_not_seen():
    """Other values of the unseen volumes change the loss, and nothing else."""
    scan, responses = scan_of((1000.0, 12), (3000.0, 12))
    noise = relative_noise(scan)
    unseen = held_out_parts(scan, 3)[0]
    signal = scan.signal.copy()
    signal[:, unseen] = 0.5
    first, second = (
        make_view(s, responses, CONFIG, VERTICES, noise, SETTINGS, unseen) for s in (scan, replace(scan, signal=signal))
    )
    np.testing.assert_array_equal(first.estimates, second.estimates)
    assert not set(first.seen.tolist()) & set(unseen.tolist()) and len(first.seen) == signal.shape[1] - len(unseen)
    wm, others = torch.from_numpy(first.estimates[:, 1]).float().split([len(VERTICES), 2], dim=1)
    answer = TissueFractions(wm.T.reshape(-1, 1, *SHAPE), others.reshape(1, *SHAPE, 2))
    rest = torch.ones(1, *SHAPE), torch.ones(len(signal), dtype=torch.bool), torch.from_numpy(noise)
    losses = [float(first.objective.terms(answer, torch.from_numpy(s), *rest)["loss"]) for s in (scan.signal, signal)]
    assert losses[0] < 2 < losses[1]  # in units of the noise's variance
    kept = scan.signal.copy()
    kept[:, first.seen.numpy()] = 0.5
    assert float(first.objective.terms(answer, torch.from_numpy(kept), *rest)["loss"]) == losses[0]


def test_the_whole_view_is_the_scan():
    scan, responses = scan_of((1000.0, 12), (3000.0, 12))
    noise = relative_noise(scan)
    view = make_view(scan, responses, CONFIG, VERTICES, noise, SETTINGS)
    np.testing.assert_array_equal(view.seen, np.arange(scan.signal.shape[1]))
    np.testing.assert_array_equal(view.estimates, estimate_scan(scan, responses, VERTICES, noise=noise))
