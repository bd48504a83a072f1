"""What is kept and resumed of a training on measured scans is of their files as they are now."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from shd.errors import CheckpointError
from shd.fitting import train as training
from shd.fitting.train_choices import choices_of, fingerprint
from shd.fitting.training_subjects import group_response, subject_states, with_responses
from shd.io.checkpoints import write_state
from shd.io.nifti import read_image
from shd.io.responses import write_response
from shd.io.subjects import read_subjects
from shd.signal.response import Response
from shd.simulation import crossing_phantom
from tests.support.cohorts import PROTOCOL, store_cohort

NAMES = ("a", "b")
TISSUES = ("wm", "gm", "csf")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A cohort with responses of its own, and others for the group."""
    folder = tmp_path_factory.mktemp("cohort")
    store_cohort(folder, NAMES)
    (folder / "group").mkdir()
    for response in crossing_phantom(60.0, shape=(2, 2, 2), protocol=PROTOCOL).responses:
        for name in NAMES:
            write_response(folder / name / f"response_{response.tissue}.txt", response)
        other = Response(response.tissue, response.bvalues, 1.1 * response.coefficients)
        write_response(folder / "group" / f"response_{response.tissue}.txt", other)
    return folder


@pytest.fixture
def place(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "cohort")


def subjects_of(place):
    found = read_subjects(place / "cohort.tsv")
    return tuple(replace(each, responses=group_response(each.dwi.parent)) for each in found)


def correct(place, what):
    """Change one file of subject a, which keeps its size."""
    folder = place / "a"
    if what == "mask":
        path = folder / "mask.nii.gz"
        image, data = read_image(path)
        mask = np.array(data)
        mask[0] = 0
        nib.save(nib.Nifti1Image(mask, image.affine), path)
    elif what == "bvec":
        rows = (folder / "dwi.bvec").read_text().splitlines()
        (folder / "dwi.bvec").write_text("\n".join([rows[1], rows[0], rows[2]]) + "\n")
    else:
        path = folder / "response_csf.txt"
        *rows, last = path.read_text().splitlines()
        path.write_text("\n".join([*rows, f"9{last[1:]}"]) + "\n")


CORRECTED = ("mask", "bvec", "response")


@pytest.mark.parametrize("what", CORRECTED)
def test_a_corrected_file_is_another_state(place, what):
    before = subject_states(subjects_of(place), False)
    correct(place, what)
    after = subject_states(subjects_of(place), False)
    assert after["a"] != before["a"] and after["b"] == before["b"]
    named = [fingerprint(*choices_of({}), states, None) for states in (before, after)]
    assert named[0] != named[1]


def test_responses_of_the_group_and_bad_voxels_are_another_state_and_another_place_is_not(place, tmp_path):
    subjects = subjects_of(place)
    before = subject_states(subjects, False)
    given = [replace(each, responses=group_response(place / "group")) for each in subjects]
    assert not set(subject_states(given, False).values()) & set(before.values())
    assert not set(subject_states(subjects, True).values()) & set(before.values())
    assert subject_states(subjects_of(place.rename(tmp_path / "elsewhere")), False) == before


@pytest.mark.parametrize("what", CORRECTED)
def test_what_is_kept_is_made_anew_where_a_file_was_corrected(place, tmp_path, what):
    def ready():
        subjects = subjects_of(place)
        study = with_responses(subjects, subject_states(subjects, False), tmp_path / "kept", TISSUES)
        return study, {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("kept/*/subject.json")}

    first, made = ready()
    again, left = ready()
    assert left == made and again.fingerprint() == first.fingerprint()
    correct(place, what)
    study, remade = ready()
    assert remade["a"] > made["a"] and remade["b"] == made["b"]
    assert study.fingerprint() != first.fingerprint()  # by which boxes are kept
    assert study.part([1]).fingerprint() == first.part([1]).fingerprint()


@pytest.mark.parametrize("what", [*CORRECTED, "group", "bad voxels"])
def test_a_checkpoint_is_not_taken_up_where_a_file_was_corrected(place, tmp_path, monkeypatch, what):
    settings, plan = choices_of({"steps": 2, "width": 2, "levels": 2, "side": 6, "held_out": 0, "device": "cpu"})
    settings, checkpoint = replace(settings, signal=1.0), tmp_path / "checkpoint.safetensors"

    class Begun(Exception):
        pass

    def save_and_stop(course, *others):
        write_state(checkpoint, *course.state())
        raise Begun

    def run(**choices):
        training.train(settings, plan, subjects_of(place), keep=tmp_path / "kept", checkpoint=checkpoint, **choices)

    monkeypatch.setattr(training, "_run", save_and_stop)
    for _ in range(2):  # the second goes on from the first
        with pytest.raises(Begun):
            run()
    given = {"group": {"group": place / "group"}, "bad voxels": {"ignore_bad_voxels": True}}.get(what, {})
    if not given:
        correct(place, what)
    with pytest.raises(CheckpointError, match="had other data or settings than this one"):
        run(**given)
