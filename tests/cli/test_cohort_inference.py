"""`shd infer` on a list as a user runs it: what it writes and says, and how it ends."""

import json

import numpy as np
import pytest

from shd.io.fodf import read_fod
from tests.support.cohorts import store_cohort, store_model
from tests.support.stored import everything_in, run_program

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("cohort")
    store_cohort(place, NAMES)
    store_model(place / "model.safetensors")
    return place


def options(place, out):
    return ("--model", place / "model.safetensors", "--threads", 1, "--device", "cpu", "--tile", 4, "--out", out)


def test_a_list_with_a_bad_scan_then_again_with_a_good_one(capsys, place, tmp_path):
    whole = (place / "two" / "dwi.bval").read_text()
    (place / "two" / "dwi.bval").write_text(whole.rsplit(maxsplit=1)[0])
    out = tmp_path / "out"
    ran = run_program(capsys, "infer", place / "cohort.tsv", *options(place, out), "--workers", 1)
    (place / "two" / "dwi.bval").write_text(whole)
    assert ran.code == 2 and "Traceback" not in ran.err
    lines = ran.err.splitlines()
    assert [line for line in lines if line.startswith("failed: ")] == [
        "failed: two: 31 b-values (dwi.bval) but 32 directions (dwi.bvec); is the b0 in both?"
    ]
    assert lines[-1] == "error: 1 of 3 subjects failed: two"
    assert ran.out == f"wrote 2 of 3 subjects in {out}; what became of each is in {out / 'cohort.json'}\n"
    assert {path.name for path in out.iterdir()} == {"one", "three", "cohort.json"}
    again = run_program(capsys, "infer", place / "cohort.tsv", *options(place, out), "--workers", 1)
    assert again.code == 0 and "error" not in again.err
    assert again.out.splitlines() == [
        "skipped 2 of 3 subjects, which were done before: one, three",
        f"wrote 1 of 3 subjects in {out}; what became of each is in {out / 'cohort.json'}",
    ]
    assert json.loads((out / "cohort.json").read_text())["counts"] == {"done before": 2, "done": 1}


def test_a_list_gives_what_single_scans_give(capsys, place, tmp_path):
    (place / "scans.txt").write_text("one/dwi.nii.gz\n")
    ran = run_program(capsys, "infer", place / "scans.txt", *options(place, tmp_path / "list"))
    assert ran.code == 0, ran.err
    assert "warning: dwi: dwi.nii.gz: " in ran.err  # no mask in this list: it is computed, and said of whom
    alone = run_program(capsys, "infer", place / "one" / "dwi.nii.gz", *options(place, tmp_path / "single"))
    assert alone.code == 0, alone.err
    ours, theirs = tmp_path / "list" / "dwi", tmp_path / "single"
    assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
    np.testing.assert_allclose(*(read_fod(folder / "wm_fod.nii.gz")[0] for folder in (ours, theirs)), atol=1e-5)


@pytest.mark.parametrize(
    ("source", "others", "says"),
    [("none.tsv", (), "none.tsv: no such file; check the path"),
     ("empty.txt", (), "empty.txt: 0 subjects"),
     ("cohort.tsv", ("--scheduler", "127.0.0.1:9"), "no scheduler answers at 127.0.0.1:9 within 10 s"),
     ("cohort.tsv", ("--model", "./none.safetensors"), "none.safetensors: no such network"),
     ("cohort.tsv", ("--device", "gpu"), "'gpu' is not one of cpu, cuda"),
     ("cohort.tsv", ("--workers", 2, "--scheduler", "x:1"), "--workers 2 and --scheduler x:1: give one of them"),
     ("cohort.tsv", ("--workers", 0), "--workers"), ("cohort.tsv", ("--retries", -1), "--retries"),
     ("cohort.tsv", ("--tile", 3), "--tile 3: give an even number"),
     ("cohort.tsv", ("--mask", "m.nii", "--grad", "x.b"), "grad, mask: only for one scan; a table has columns"),
     ("one/dwi.nii.gz", ("--workers", 2), "workers: only for a list"),
     ("one/dwi.nii.gz", ("--scheduler", "x:1"), "scheduler: only for a list")],
)  # fmt: skip
def test_what_cannot_be_asked_writes_nothing(capsys, place, tmp_path, source, others, says):
    (place / "empty.txt").write_text("\n")
    ran = run_program(capsys, "infer", place / source, *options(place, tmp_path / "a" / "out"), *others)
    assert ran.code == 2 and "Traceback" not in ran.err
    assert says in " ".join(ran.err.replace("│", " ").split())
    assert everything_in(tmp_path) == {}


def test_an_interrupt_says_how_to_go_on(capsys, place, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("shd.fitting.cohort_subject.write_subject", interrupt)
    ran = run_program(capsys, "infer", place / "cohort.tsv", *options(place, tmp_path / "out"))
    assert ran.code == 130 and "interrupted: the same command goes on with the subjects that are not in" in ran.err
    assert everything_in(tmp_path) == {}
