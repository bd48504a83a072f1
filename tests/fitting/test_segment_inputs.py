"""A prediction is known, and a training of labels taken up again, by what all their files hold."""

import json
from dataclasses import replace

import pytest

from shd._version import __version__
from shd.fitting.segment_choices import segmentation_choices, segmentation_fingerprint
from shd.fitting.segment_prediction import is_predicted, prediction_choices
from shd.io.subject_inputs import inputs_of
from shd.io.subjects import Subject

FILES = ("dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz", "label.nii.gz")


@pytest.fixture
def subject(tmp_path):
    """Files that nothing opens."""
    for name in (*FILES, "model.safetensors"):
        (tmp_path / name).write_text(name)
    return Subject("one", tmp_path / "dwi.nii.gz", mask=tmp_path / "mask.nii.gz", label=tmp_path / "label.nii.gz")


@pytest.mark.parametrize("name", FILES)
def test_a_corrected_file_makes_a_prediction_anew(tmp_path, subject, name):
    choices = prediction_choices(tmp_path / "model.safetensors", False, False)
    record = {"shd": __version__, "inputs": {**inputs_of(subject), **choices}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert is_predicted(tmp_path, subject, choices)
    assert not is_predicted(tmp_path, subject, {**choices, "resample": True})
    (tmp_path / name).write_text(name[::-1])
    assert is_predicted(tmp_path, subject, choices) is (name == "label.nii.gz")  # which it is not made of
    (tmp_path / name).write_text(name)
    (tmp_path / "run.json").write_text(json.dumps({**record, "shd": "0.0.1"}))
    assert not is_predicted(tmp_path, subject, choices)


@pytest.mark.parametrize("name", FILES)
def test_a_corrected_file_is_another_training(tmp_path, subject, name):
    def printed(one=subject, ignore_bad_voxels=False):
        return segmentation_fingerprint(*segmentation_choices({}), [one], frozenset(), None, False, ignore_bad_voxels)

    before = printed()
    assert printed(ignore_bad_voxels=True) != before and printed(replace(subject, mask=None)) != before
    (tmp_path / name).touch()
    assert printed() == before
    (tmp_path / name).write_text(name[::-1])
    assert printed() != before
