"""`shd.fit` from Python: what it takes, what it refuses before it computes, and what it gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import shd
from shd.errors import CheckpointError, ResourceError, ResponseError, SettingsError, ShdWarning
from shd.fitting.fit import Clock
from shd.scans.coherence import gradient_coherence
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import Protocol
from shd.sphere.directions import axial_angle
from shd.training.settings import FitSettings

PROTOCOL = Protocol("small", 2, ((1000.0, 15), (3000.0, 30)))
SETTINGS = FitSettings(steps=2, width=2, tile=4, threads=1, device="cpu")


@pytest.fixture(scope="module")
def phantom():
    return crossing_phantom(60.0, shape=(6, 6, 4), protocol=PROTOCOL)


def test_steps_are_all_it_needs(phantom):
    stages = []
    result = shd.fit(phantom.scan, phantom.responses, steps=2, report=lambda progress: stages.append(progress.stage))
    assert result.fod.degree == 12 and result.peaks.amplitudes.shape == (6, 6, 4, 5)
    assert set(result.fod.isotropic) == {"gm", "csf"}
    assert [row["step"] for row in result.history] == [0, 1, 2]
    done = ["gradient check", "first estimate", "training", "inference", "peaks", "residual"]
    assert list(dict.fromkeys(stages)) == done
    assert result.residual.shape == (6, 6, 4) and 0.5 < np.median(result.residual[phantom.scan.mask]) < 1.5
    assert 14 < result.snr < 28  # it is 20
    assert set(result.seconds) >= {"training", "inference", "peaks"}


def test_responses_in_any_order(phantom):
    wm, gm, csf = phantom.responses
    result = shd.fit(phantom.scan, (csf, wm, gm), SETTINGS)
    assert [response.tissue for response in result.responses] == ["wm", "csf", "gm"]
    assert result.model.config.tissues == ("wm", "csf", "gm")
    usual = shd.fit(phantom.scan, phantom.responses, SETTINGS)
    np.testing.assert_allclose(result.fod.isotropic["gm"], usual.fod.isotropic["gm"], atol=0.05)


@pytest.mark.parametrize("kept", [slice(1, None), [0, 0, 1]])
def test_one_white_matter_response_is_needed(phantom, kept):
    given = tuple(np.array(phantom.responses, dtype=object)[kept])
    count = sum(response.tissue == "wm" for response in given)
    with pytest.raises(ResponseError, match=f"{count} white-matter responses among {len(given)}; give exactly one"):
        shd.fit(phantom.scan, given, SETTINGS)


def test_responses_of_other_shells(phantom):
    wm = phantom.responses[0]
    with pytest.raises(ResponseError, match=r"the wm response has 2 b-values .* but the scan has 3 shells"):
        shd.fit(phantom.scan, (replace(wm, bvalues=wm.bvalues[:2], coefficients=wm.coefficients[:2]),), SETTINGS)


@pytest.mark.parametrize("budget", [{"minutes": 1.0}, {"steps": 3}])
def test_two_budgets_are_refused(phantom, budget):
    with pytest.raises(SettingsError, match="settings with their own budget"):
        shd.fit(phantom.scan, phantom.responses, SETTINGS, **budget)


def test_an_odd_degree_is_refused_before_training(phantom):
    with pytest.raises(SettingsError, match="degree 7"):
        shd.fit(phantom.scan, phantom.responses, SETTINGS, degree=7, report=pytest.fail)


def test_a_start_that_is_not_there_is_said_before_anything(phantom):
    with pytest.raises(CheckpointError, match=r"nope: no such network; give base or small, a model"):
        shd.fit(phantom.scan, phantom.responses, replace(SETTINGS, start="nope"), report=pytest.fail)


def test_a_device_that_is_not_there(phantom, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="0 CUDA devices"):
        shd.fit(phantom.scan, phantom.responses, replace(SETTINGS, device="cuda"))


def test_gradients_that_contradict_the_anatomy_are_said(phantom, monkeypatch):
    """It is fitted, but not silently, and the verdict goes with the result."""
    verdict = replace(gradient_coherence(phantom.scan), verdict="inconsistent", message="image axis x flipped")
    monkeypatch.setattr("shd.scans.coherence.gradient_coherence", lambda scan: verdict)
    with pytest.warns(ShdWarning, match="image axis x flipped"):
        result = shd.fit(phantom.scan, phantom.responses, SETTINGS)
    assert result.coherence is verdict and result.fod.wm.any()


def test_few_directions_have_the_same_degree():
    """Sparsity decides between the many fODFs that would fit, so the degree need not be lowered."""
    few = Protocol("few", 2, ((1000.0, 12),))
    bundle = single_bundle(np.array([0.8, -0.36, 0.48]), np.diag([2.0, 2.0, 2.0, 1.0]), shape=(4, 4, 2), protocol=few)
    result = shd.fit(bundle.scan, bundle.responses[:1], SETTINGS)
    assert result.fod.wm.shape == (4, 4, 2, 91)
    found = result.peaks.directions[..., 0, :].reshape(-1, 3).astype(float)
    assert axial_angle(found, np.broadcast_to([0.8, -0.36, 0.48], found.shape)).max() < 2
    lower = shd.fit(bundle.scan, bundle.responses[:1], SETTINGS, degree=4)
    assert lower.fod.wm.shape == (4, 4, 2, 15)


def test_clock_counts_each_stage_from_the_last():
    clock = Clock()
    clock.lap("first")
    clock.lap("second")
    assert list(clock.laps) == ["first", "second"] and min(clock.laps.values()) >= 0
