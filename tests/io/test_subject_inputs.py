"""What a result was made of is known again, and what has changed since is said."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shd.errors import GradientError, ScanError
from shd.io.subject_inputs import changed_inputs, inputs_of, is_made_of, state_name, used_files
from shd.io.subjects import Subject


@pytest.fixture
def subject(tmp_path):
    """Files that nothing opens: a scan with its table beside it, a mask and a response."""
    for name in ("dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz", "wm.txt"):
        (tmp_path / name).write_text(name)
    responses = {"wm": tmp_path / "wm.txt"}
    return Subject("one", tmp_path / "dwi.nii.gz", mask=tmp_path / "mask.nii.gz", responses=responses)


@pytest.fixture
def record(tmp_path, subject):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"inputs": {**inputs_of(subject), "choices": {"degree": 12, "tile": 4}}}))
    return path


def test_tables_beside_the_scan_are_among_the_files(subject, monkeypatch):
    monkeypatch.chdir(subject.dwi.parent)
    files, convention = used_files(replace(subject, dwi=Path("dwi.nii.gz"), label=Path("label.nii.gz")))
    assert convention == "FSL" and all(path.is_absolute() for path in files.values())
    assert {name: path.name for name, path in files.items()} == {
        "dwi": "dwi.nii.gz", "bval": "dwi.bval", "bvec": "dwi.bvec", "mask": "mask.nii.gz", "wm": "wm.txt",
    }  # fmt: skip


def test_the_state_of_each_file_is_told(subject):
    inputs = inputs_of(subject)
    assert inputs["bvec"] == str(subject.dwi.with_name("dwi.bvec")) and inputs["gradients"] == "FSL"
    assert inputs["states"].keys() == {"dwi", "bval", "bvec", "mask", "wm"}
    assert inputs["states"]["wm"]["bytes"] == len("wm.txt") and len(inputs["states"]["wm"]["sha256"]) == 64


@pytest.mark.parametrize("name", ["dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz", "wm.txt"])
def test_each_file_counts_by_what_it_holds(subject, record, name):
    path, before = subject.dwi.with_name(name), state_name(inputs_of(subject))
    path.touch()
    assert changed_inputs(record, subject, {}) == [] and state_name(inputs_of(subject)) == before
    path.write_text(name[::-1])  # as long
    (said,) = changed_inputs(record, subject, {})
    assert said.endswith(f"{path} has changed") and not is_made_of(record, subject, {})
    assert state_name(inputs_of(subject)) != before
    path.unlink()
    if name in ("dwi.bval", "dwi.bvec"):
        with pytest.raises(GradientError, match="no gradient table given"):
            changed_inputs(record, subject, {})
        assert not is_made_of(record, subject, {})
    else:
        assert changed_inputs(record, subject, {})[0].endswith(f"{path} is missing")
        with pytest.raises(ScanError, match=f"{path}: no such file; check the path"):
            inputs_of(subject)


def test_files_that_came_or_went_are_said(subject, record):
    (subject.dwi.with_name("gm.txt")).write_text("gm")
    more = replace(subject, mask=None, responses={**subject.responses, "gm": subject.dwi.with_name("gm.txt")})
    said = changed_inputs(record, more, {})
    assert said == [f"gm {subject.dwi.parent}/gm.txt was not used", f"mask {subject.mask} was used"]


def test_choices_count_by_those_that_are_asked_for(subject, record):
    assert changed_inputs(record, subject, {"choices": {"degree": 12}}) == []
    assert changed_inputs(record, subject, {"choices": {"degree": 8}}) == ["degree was 12, not 8"]
    assert changed_inputs(record, subject, {"weights": "a" * 64}) == ["another weights"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": 3}', "no JSON"])
def test_what_is_no_record_is_of_no_result(tmp_path, subject, text):
    (tmp_path / "run.json").write_text(text)
    assert changed_inputs(tmp_path / "run.json", subject, {}) is None
    assert changed_inputs(tmp_path / "absent.json", subject, {}) is None
