"""Threads by default: as many as the processors that the process may use, however many the machine has."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shd.fitting.bids_dataset import _normalised as normalised
from shd.fitting.fit import fit
from shd.fitting.infer import infer
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from shd.fodf import lobes, peaks
from shd.processors import usable_processors
from shd.simulation import crossing_phantom, sampling
from shd.simulation.families import family_geometry
from shd.simulation.protocols import CLINICAL, Protocol, protocol_gradients
from shd.tracking import deterministic
from shd.tracking.field import tracking_field
from shd.tracking.settings import settings_for
from shd.tracking.tractogram import track_field
from shd.training.settings import FitSettings
from tests.tracking.phantoms import straight_field


@pytest.fixture(autouse=True)
def three_of_64(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4, 5, 6}, raising=False)


def test_processors_of_a_job_count_not_those_of_its_node(monkeypatch):
    assert usable_processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert usable_processors() == 64


def track():
    field = tracking_field(straight_field(np.eye(4)))
    track_field(field, field.mask, settings_for(field.voxel_sizes, algorithm="deterministic", seed_count=5))


WORK = [
    (peaks, lambda: peaks.find_peaks(np.ones((1, 45)))),
    (lobes, lambda: lobes.fixels_of(np.ones((1, 45)))),
    (
        sampling,
        lambda: sampling.sample(family_geometry("crossing"), protocol_gradients(CLINICAL), (2, 2, 2), np.eye(4)),
    ),
    (deterministic, track),
]


@pytest.mark.parametrize(("module", "work"), WORK, ids=[module.__name__ for module, _ in WORK])
def test_threads_are_as_many_as_usable_processors(monkeypatch, module, work):
    asked = []

    def pool(max_workers):
        asked.append(max_workers)
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(module, "ThreadPoolExecutor", pool)
    work()
    assert set(asked) == {3}


def test_peaks_of_a_fit_an_inference_and_its_normalisation_are_found_on_the_threads_asked_for(tmp_path, monkeypatch):
    """A worker of a cohort has its share of the processors: `--threads` also says how many look for peaks."""
    asked, find_peaks = [], peaks.find_peaks

    def find(coefficients, threads=None):
        asked.append(threads)
        return find_peaks(coefficients, threads=threads)

    monkeypatch.setattr(peaks, "find_peaks", find)
    monkeypatch.setattr("shd.fitting.normalise.find_peaks", find)
    phantom = crossing_phantom(60.0, shape=(6, 6, 4), protocol=Protocol("small", 2, ((1000.0, 15), (3000.0, 30))))
    settings = FitSettings(steps=1, width=2, tile=4, threads=1, device="cpu")
    fit(phantom.scan, phantom.responses, settings)
    inferred = infer(phantom.scan, "small", phantom.responses, threads=1, tile=4, device="cpu")
    assert asked == [1, 1]
    write_fit(OutputFolder(tmp_path / "fit"), phantom.scan, inferred, {}, lambda progress: None)
    normalised(tmp_path / "fit", threads=1)
    assert asked == [1, 1, 1]
