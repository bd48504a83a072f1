"""Every way into shd asks whether the gradient directions fit the image: a mirrored table never goes in silently."""

import numpy as np
import pytest

import shd
from shd.errors import SettingsError, ShdWarning
from shd.fitting.segment_prediction import predict_subject
from shd.fitting.segment_subjects import read_study
from shd.fitting.training_subjects import subject_states, with_responses
from shd.io.images import write_image
from shd.io.responses import write_response
from shd.io.segmenters import StoredSegmenter, network_for
from shd.io.subjects import Subject
from shd.models.pq.config import SegmentationConfig
from shd.scans.q_table import q_signal
from shd.simulation import crossing_phantom
from shd.simulation.tissues import tissue_responses
from tests.support.affines import AFFINES
from tests.support.rings import ring_scan
from tests.support.segmentation import NETWORK
from tests.support.stored import run_program, store, words

MIRRORED = r"gradient directions do not fit the image: .* image axis x flipped"


@pytest.fixture(scope="module")
def scan():
    return ring_scan(AFFINES["oblique"], np.diag([-1.0, 1.0, 1.0]), np.random.default_rng(0))


@pytest.fixture(scope="module")
def subject(scan, tmp_path_factory):
    """The mirrored scan on disk, with a response and labels."""
    folder = tmp_path_factory.mktemp("mirrored")
    files = store(scan, folder / "scan")
    write_response(folder / "wm.txt", tissue_responses(np.array([0.0, 1000.0]), degree=6)[0])
    labels = np.zeros(scan.shape, np.int16)
    labels[tuple(np.argwhere(scan.mask)[0])] = 1
    write_image(folder / "label.nii.gz", [labels], scan.shape, scan.affine, None, dtype="<i2")
    return Subject("s0", **files, responses={"wm": folder / "wm.txt"}, label=folder / "label.nii.gz")


def test_training_on_measured_scans(subject, tmp_path):
    for _ in range(2):  # the second time nothing is computed, and it is said again
        with pytest.warns(ShdWarning, match=f"^s0: {MIRRORED}"):
            with_responses([subject], subject_states([subject], False), tmp_path, ("wm",))


def test_training_of_a_segmentation(subject, tmp_path):
    with pytest.warns(ShdWarning, match=f"^s0: {MIRRORED}"):
        read_study([subject], frozenset(), tmp_path)


def test_prediction_of_a_segmentation(subject, scan):
    table = q_signal(scan).table
    config = SegmentationConfig(**{name: tuple(map(tuple, value)) for name, value in NETWORK.items()})
    stored = StoredSegmenter(network_for(config, table).eval(), config, table, (0, 1), (0.5,))
    with pytest.warns(ShdWarning, match=f"^s0: {MIRRORED}"):
        predict_subject(stored, subject)


def test_responses(capsys, subject, tmp_path):
    files = {name: path for name, path in subject.files().items() if name in ("dwi", "bval", "bvec", "mask")}
    ran = run_program(capsys, "response", *words(files), "--out", tmp_path / "out")
    assert "image axis x flipped" in ran.err and ran.err.count("do not fit the image") == 1


def test_inference_says_it_once(capsys, subject, tmp_path):
    files = {name: path for name, path in subject.files().items() if name in ("dwi", "bval", "bvec", "mask")}
    quick = ("--model", "small", "--degree", "4", "--wm", subject.responses["wm"])
    ran = run_program(capsys, "infer", *words(files), *quick, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert (ran.out + ran.err).count("do not fit the image") == 1
    assert ran.out.count("with a single shell there is white matter's response alone") == 1


@pytest.mark.parametrize(("choice", "says"), [({"degree": 7}, "degree 7: give"), ({"engine": "foo"}, "'foo': give")])
def test_choices_that_cannot_be_are_said_before_the_check(monkeypatch, choice, says):
    monkeypatch.setattr("shd.scans.coherence.gradient_coherence", lambda scan: pytest.fail("the check came first"))
    with pytest.raises(SettingsError, match=says):
        shd.infer(crossing_phantom(60.0, shape=(4, 4, 3)).scan, "small", **choice)
