"""`shd infer` of one scan: what run.json says of it is enough to do it again."""

import json

import numpy as np

from shd.io.fodf import read_fod
from shd.io.subject_inputs import inputs_of
from shd.io.subjects import Subject
from tests.support.cohorts import store_cohort, store_model
from tests.support.stored import QUICK, run_program


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def test_run_json_repeats_an_inference(capsys, tmp_path):
    """Tables are found beside the scan; the second time they are given."""
    store_cohort(tmp_path, ("one",))
    scan, mask = tmp_path / "one" / "dwi.nii.gz", tmp_path / "one" / "mask.nii.gz"
    model = store_model(tmp_path / "model.safetensors")
    options = ("--degree", 8, "--tile", 4, "--threads", 1, "--device", "cpu", "--engine", "torch", "--bfloat16")
    chosen = ("infer", scan, "--mask", mask, "--model", model, *options, "--ignore-bad-voxels")
    assert run_program(capsys, *chosen, "--out", tmp_path / "first").code == 0
    inputs = record_of(tmp_path / "first")["inputs"]
    assert {name: inputs[name] for name in ("bval", "bvec", "gradients")} == {
        "bval": str(scan.with_name("dwi.bval")), "bvec": str(scan.with_name("dwi.bvec")), "gradients": "FSL",
    }  # fmt: skip
    choices = inputs["choices"]
    assert choices == {
        "degree": 8, "tile": 4, "threads": 1, "device": "cpu", "engine": "torch", "bfloat16": True,
        "ignore_bad_voxels": True,
    }  # fmt: skip
    assert len(inputs["model_fingerprint"]) == 64
    files = [inputs["dwi"], inputs["bval"], inputs["bvec"], "--mask", inputs["mask"], "--model", inputs["model"]]
    named = ("degree", "tile", "threads", "device", "engine")
    valued = [word for name in named for word in (f"--{name}", choices[name])]
    again = ("infer", *files, *valued, "--bfloat16", "--ignore-bad-voxels", "--out", tmp_path / "second")
    assert run_program(capsys, *again).code == 0
    assert record_of(tmp_path / "second")["inputs"] == inputs
    fods = [read_fod(tmp_path / name / "wm_fod.nii.gz")[0] for name in ("first", "second")]
    np.testing.assert_array_equal(*fods)


def test_run_json_of_a_fit_says_what_was_read(capsys, tmp_path):
    store_cohort(tmp_path, ("one",))
    scan, mask = tmp_path / "one" / "dwi.nii.gz", tmp_path / "one" / "mask.nii.gz"
    ran = run_program(capsys, "fit", scan, "--mask", mask, *QUICK, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    inputs = record_of(tmp_path / "out")["inputs"]
    assert inputs == {**inputs_of(Subject("one", scan, mask=mask)), "choices": {"ignore_bad_voxels": False}}
    assert inputs["bvec"] == str(scan.with_name("dwi.bvec")) and inputs["gradients"] == "FSL"
