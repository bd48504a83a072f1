"""Every subject of a cohort is done once, whatever happens to the others or to those who compute them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shd.errors import CheckpointError, OutputError, ResourceError
from shd.fitting import cohort, cohort_subject
from shd.fitting.cohort import infer_cohort
from shd.fitting.cohort_subject import DONE, DONE_BEFORE, FAILED, Choices, Folders, infer_subject
from shd.io.fodf import read_fod
from shd.io.images import write_image
from shd.io.nifti import read_image
from shd.io.subject_inputs import inputs_of
from shd.io.subjects import Subject, read_subjects
from tests.support.cohorts import SHAPE, store_cohort, store_model
from tests.support.stored import everything_in

NAMES = ("one", "two", "three", "four")
FILES = {"wm_fod.nii.gz", "peaks.nii.gz", "mask.nii.gz", "gm.nii.gz", "csf.nii.gz", "model.safetensors", "run.json"}
# Loaded by a worker: it notes what it publishes. The first to find `hold` stops there, its whole result unpublished.
PRELOAD = """
import os, time
from pathlib import Path

def dask_setup(worker):
    from shd.fitting.output_folder import OutputFolder
    place, publish = Path({place!r}), OutputFolder.publish

    def noted(folder):
        try:
            (place / "hold").rename(place / f"held-{{os.getpid()}}-{{folder.out.name}}")
        except FileNotFoundError:
            pass
        else:
            time.sleep(600)
        files = publish(folder)
        with (place / "published").open("a") as log:
            log.write(f"{{folder.out.name}} {{os.getpid()}}\\n")
        return files

    OutputFolder.publish = noted
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a cohort, its model, and its results as this process finds them, in `alone`."""
    place = tmp_path_factory.mktemp("cohort")
    store_cohort(place, NAMES)
    store_model(place / "model.safetensors")
    outcomes = infer_cohort(subjects_of(place), place / "alone", choices_of(place), workers=1)
    assert [(o.name, o.state, o.error) for o in outcomes] == [(name, DONE, "") for name in NAMES]
    return place


def subjects_of(place):
    return read_subjects(place / "cohort.tsv")


def choices_of(place, **others):
    return Choices(model=str(place / "model.safetensors"), threads=1, device="cpu", tile=4, **others)


def states(outcomes):
    return {outcome.name: outcome.state for outcome in outcomes}


def times_of(out):
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/run.json")}


def assert_same_fods(out, other):
    for name in NAMES:
        ours, theirs = (read_fod(folder / name / "wm_fod.nii.gz")[0] for folder in (out, other))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_each_subject_has_the_files_of_a_single_scan(place):
    for name in NAMES:
        assert {path.name for path in (place / "alone" / name).iterdir()} >= FILES
    assert {path.name for path in (place / "alone").iterdir()} == {*NAMES, "cohort.json"}
    summary = json.loads((place / "alone" / "cohort.json").read_text())
    assert summary["subjects"] == 4 and summary["counts"] == {"done": 4}
    assert [row["name"] for row in summary["outcomes"]] == list(NAMES)
    assert all(row["seconds"] > 0 for row in summary["outcomes"])
    run = json.loads((place / "alone" / "two" / "run.json").read_text())
    assert run["inputs"]["dwi"] == str(place / "two" / "dwi.nii.gz")
    assert run["inputs"]["model_fingerprint"] == summary["model_fingerprint"]


def test_those_done_before_are_left_as_they_are(place):
    before, reports = times_of(place / "alone"), []
    outcomes = infer_cohort(subjects_of(place), place / "alone", choices_of(place), report=reports.append)
    assert states(outcomes) == dict.fromkeys(NAMES, DONE_BEFORE)
    assert times_of(place / "alone") == before
    assert [state.done for state in reports] == [1.0]


@pytest.fixture
def quick(place, monkeypatch):
    """Publish a folder with run.json alone, in place of inferring; return the names published so far."""
    published = []

    def publish(subject, folder, choices, extra):
        published.append(subject.name)
        record = {"inputs": {**inputs_of(subject), **extra}}
        (folder.partial / "run.json").write_text(json.dumps(record))
        folder.publish()

    monkeypatch.setattr(cohort_subject, "write_subject", publish)
    return published


def corrected(change, subjects, place, choices):
    """Return subjects and choices of which one thing is changed: a file in its place, another file, or a choice."""
    first = subjects[0].dwi.parent
    if change == "model":
        return subjects, replace(choices, model=str(store_other_model(place, first / "other.safetensors")))
    if change == "degree":
        return subjects, replace(choices, degree=8)
    if change == "scan":
        return tuple(replace(s, dwi=first / "dwi.nii.gz") for s in subjects), choices
    if change == "no mask":
        return tuple(replace(s, mask=None) for s in subjects), choices
    for subject in subjects:
        if change == "mask":
            image, mask = read_image(subject.mask)
            write_image(subject.mask, [mask * (np.indices(SHAPE)[0] > 0)], SHAPE, image.affine, None)
        elif change == "bvec":  # beside the scan, in no list
            bvec = subject.dwi.with_name("dwi.bvec")
            x, *others = bvec.read_text().splitlines()
            bvec.write_text("\n".join([" ".join(f"{-float(word):.8g}" for word in x.split()), *others]))
        elif change == "QSIPrep":
            subject.dwi.with_name("dwi.json").write_text('{"GeneratedBy": [{"Name": "QSIPrep"}]}')
        else:
            response = subject.responses["wm"]
            response.write_text(response.read_text().replace("3000.5", "3100.5"))
    return subjects, choices


CHANGES = {
    "model": "another model_fingerprint",
    "degree": "degree was None, not 8",
    "scan": "dwi {first}/dwi.nii.gz is not what {here}/dwi.nii.gz was",
    "mask": "mask {here}/mask.nii.gz has changed",
    "no mask": "mask {here}/mask.nii.gz was used",
    "bvec": "bvec {here}/dwi.bvec has changed",
    "QSIPrep": "directions were read as FSL's, not QSIPrep's",
    "response": "wm {here}/wm.txt has changed",
}


@pytest.fixture
def own(place, tmp_path):
    """Subjects whose files a test may change."""
    for name in NAMES:
        shutil.copytree(place / name, tmp_path / "scans" / name)
        (tmp_path / "scans" / name / "wm.txt").write_text("# Shells: 0,1000,3000\n3000.5\n900\n400\n")
    return lying_in(tmp_path / "scans", subjects_of(place))


def lying_in(folder, subjects):
    """Return the subjects with their files in folders of theirs."""
    return tuple(
        replace(
            subject,
            dwi=folder / subject.name / "dwi.nii.gz",
            mask=folder / subject.name / "mask.nii.gz",
            responses={"wm": folder / subject.name / "wm.txt"},
        )
        for subject in subjects
    )


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_of_other_inputs_is_not_taken_for_done(place, own, tmp_path, quick, change):
    """It is not replaced without force either, and said to be of other inputs, and of which."""
    out, choices = tmp_path / "out", choices_of(place)
    infer_cohort(own, out, choices, workers=1)
    before = everything_in(out)
    subjects, choices = corrected(change, own, place, choices)
    expected = dict.fromkeys(NAMES, FAILED) | ({"one": DONE_BEFORE} if change == "scan" else {})
    outcomes = infer_cohort(subjects, out, choices, workers=1)
    assert states(outcomes) == expected
    said = CHANGES[change].format(here=own[-1].dwi.parent, first=own[0].dwi.parent)
    assert said in outcomes[-1].error
    assert f"{out}/four/run.json: of other inputs" in outcomes[-1].error and "--force" in outcomes[-1].error
    after = everything_in(out)
    assert {name for name in after if after[name] != before[name]} <= {"cohort.json"}
    del quick[:]
    forced = infer_cohort(subjects, out, replace(choices, force=True), workers=1)
    assert states(forced) == dict.fromkeys(NAMES, DONE)
    assert quick == list(NAMES)
    assert states(infer_cohort(subjects, out, choices, workers=1)) == dict.fromkeys(NAMES, DONE_BEFORE)


def test_files_that_are_moved_or_copied_anew_are_the_same(place, own, tmp_path, quick):
    """As a data set is in a container, or after it was fetched again."""
    out, choices = tmp_path / "out", choices_of(place)
    infer_cohort(own, out, choices, workers=1)
    (tmp_path / "scans").rename(tmp_path / "data")
    moved = lying_in(tmp_path / "data", own)
    for subject in moved:
        subject.mask.touch()
    assert states(infer_cohort(moved, out, choices, workers=1)) == dict.fromkeys(NAMES, DONE_BEFORE)


def test_half_a_folder_is_not_taken_for_done(place, tmp_path, quick):
    """As where the machine stops while files take their places: run.json would come last."""
    infer_cohort(subjects_of(place), tmp_path, choices_of(place), workers=1)
    for name in NAMES:
        (tmp_path / name / "mask.nii.gz").touch()
        (tmp_path / name / ".partial").mkdir()
        (tmp_path / name / "run.json").rename(tmp_path / name / ".partial" / "run.json")
    outcomes = infer_cohort(subjects_of(place), tmp_path, choices_of(place), workers=1)
    assert states(outcomes) == dict.fromkeys(NAMES, FAILED)
    assert "holds 1 file already" in outcomes[-1].error and "--force" in outcomes[-1].error


def test_a_result_that_does_not_say_of_which_files_it_is_is_not_taken_for_done(place, tmp_path, quick):
    """As those made before this was recorded."""
    infer_cohort(subjects_of(place), tmp_path, choices_of(place), workers=1)
    record = tmp_path / "one" / "run.json"
    content = json.loads(record.read_text())
    del content["inputs"]["states"]
    record.write_text(json.dumps(content))
    outcomes = infer_cohort(subjects_of(place), tmp_path, choices_of(place), workers=1)
    assert states(outcomes) == dict.fromkeys(NAMES, DONE_BEFORE) | {"one": FAILED}
    assert "which files it was made of is not recorded" in outcomes[0].error


def store_other_model(place, path):
    """Write the model with one weight changed."""
    from shd.io.checkpoints import read_model, write_model

    model, responses, _ = read_model(place / "model.safetensors")
    next(model.parameters()).data += 1e-3
    write_model(path, model, responses)
    return path


def test_a_moved_model_is_the_same(place, tmp_path, quick):
    infer_cohort(subjects_of(place), tmp_path, choices_of(place), workers=1)
    (tmp_path / "moved.safetensors").write_bytes((place / "model.safetensors").read_bytes())
    choices = replace(choices_of(place), model=str(tmp_path / "moved.safetensors"))
    assert states(infer_cohort(subjects_of(place), tmp_path, choices)) == dict.fromkeys(NAMES, DONE_BEFORE)


def test_one_that_fails_does_not_stop_the_others_and_is_taken_up_again(place, tmp_path):
    subjects = list(subjects_of(place)[:3])
    whole = subjects[1].dwi.read_bytes()
    short = tmp_path / "dwi.nii.gz"
    short.write_bytes(whole[: len(whole) // 2])
    for name in ("bval", "bvec"):
        (tmp_path / f"dwi.{name}").write_bytes(subjects[1].dwi.with_name(f"dwi.{name}").read_bytes())
    subjects[1] = replace(subjects[1], dwi=short)
    told = []
    outcomes = infer_cohort(subjects, tmp_path / "out", choices_of(place), workers=1, on_outcome=told.append)
    assert states(outcomes) == {"one": DONE, "two": FAILED, "three": DONE} and told == list(outcomes)
    assert "damaged or cut short" in outcomes[1].error and "\n" not in outcomes[1].error and not outcomes[1].trace
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one", "three", "cohort.json"}
    summary = json.loads((tmp_path / "out" / "cohort.json").read_text())
    assert summary["counts"] == {"done": 2, "failed": 1} and summary["outcomes"][1]["error"] == outcomes[1].error
    before = times_of(tmp_path / "out")
    short.write_bytes(whole)
    again = infer_cohort(subjects, tmp_path / "out", choices_of(place), workers=1)
    assert states(again) == {"one": DONE_BEFORE, "two": DONE, "three": DONE_BEFORE}
    assert {name: time for name, time in times_of(tmp_path / "out").items() if name != "two"} == before


def test_warnings_of_a_subject_are_in_its_outcome(place, tmp_path):
    subject = replace(subjects_of(place)[0], mask=None)
    (outcome,) = infer_cohort([subject], tmp_path / "out", choices_of(place))
    assert outcome.state == DONE and any("mask" in message for message in outcome.warnings)


def test_a_bug_is_tried_again_and_what_a_user_can_act_on_is_not(place, tmp_path, monkeypatch):
    tries = Counter()

    def fail(subject, folder, *others):
        tries[subject.name] += 1
        if subject.name == "one":
            raise RuntimeError("a bug\nin two lines")
        if subject.name == "two" and tries["two"] < 3:
            raise MemoryError
        if subject.name == "three":
            raise CheckpointError("of the user")
        folder.discard()

    monkeypatch.setattr(cohort_subject, "write_subject", fail)
    outcomes = infer_cohort(subjects_of(place), tmp_path / "out", choices_of(place), workers=1, retries=2)
    assert states(outcomes) == {"one": FAILED, "two": DONE, "three": FAILED, "four": DONE}
    assert tries == {"one": 3, "two": 3, "three": 1, "four": 1}
    assert outcomes[0].error == "RuntimeError: a bug" and "in two lines" in outcomes[0].trace
    assert outcomes[2].error == "of the user" and not outcomes[2].trace
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cohort.json"]


def test_a_worker_that_died_after_publishing_is_not_repeated(place, tmp_path, quick):
    subject, wanted = subjects_of(place)[0], {"model_fingerprint": "x"}
    for _ in range(2):
        assert infer_subject(subject, Folders(tmp_path), choices_of(place), wanted).state == DONE
    assert quick == ["one"]


def test_an_interrupt_keeps_what_is_done(place, tmp_path, quick):
    def interrupt(outcome):
        if outcome.name == "two":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer_cohort(subjects_of(place), tmp_path / "out", choices_of(place), workers=1, on_outcome=interrupt)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"one", "two"}


@pytest.mark.parametrize(
    ("text", "says"),
    [("127.0.0.1:9", r"no scheduler answers at 127\.0\.0\.1:9 within 10 s .*; start one \(dask scheduler\)"),
     ("tcp://nowhere.invalid:8786", "no scheduler answers at tcp://nowhere"), ("http://x", "no scheduler answers"),
     ("none.json", r"no scheduler answers at none\.json .*No such file"), ("empty.json", "no scheduler answers")],
)  # fmt: skip
def test_a_scheduler_that_is_not_there(place, tmp_path, monkeypatch, text, says):
    monkeypatch.chdir(tmp_path)
    Path("empty.json").write_text("{}")
    start = time.monotonic()
    with pytest.raises(ResourceError, match=says):
        infer_cohort(subjects_of(place), tmp_path / "out", choices_of(place), scheduler=text)
    assert time.monotonic() - start < 60 and not (tmp_path / "out").exists()


def test_without_dask(place, tmp_path, monkeypatch, quick):
    monkeypatch.setattr("shd.fitting.cluster.find_spec", lambda name: None)
    says = r"0 of 2 libraries .* pip install 'shd\[cluster\]', or give --workers 1"
    for choice in ({"workers": 2}, {"scheduler": "127.0.0.1:9"}):
        with pytest.raises(ResourceError, match=says):
            infer_cohort(subjects_of(place), tmp_path / "out", choices_of(place), **choice)
    assert not (tmp_path / "out").exists()
    assert states(infer_cohort(subjects_of(place), tmp_path / "out", choices_of(place))) == dict.fromkeys(NAMES, DONE)


@pytest.mark.parametrize("model", ["none.safetensors", "./none", "torn"])
def test_a_model_that_is_none_is_one_error(place, tmp_path, model):
    (tmp_path / "torn").write_bytes((place / "model.safetensors").read_bytes()[:1000])
    choices = replace(choices_of(place), model=str(tmp_path / model))
    with pytest.raises(CheckpointError, match=r"no such network|cannot be read"):
        infer_cohort(subjects_of(place), tmp_path / "out", choices)
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("precious")
    for out in ("file", "file/below"):
        with pytest.raises(OutputError, match=r"file is a file; give a folder"):
            infer_cohort(subjects_of(place), tmp_path / out, choices_of(place))
    monkeypatch.setattr("os.access", lambda *arguments: False)  # tests may run as root, whom no permission stops
    with pytest.raises(OutputError, match=r"cannot write in .*; choose another --out"):
        infer_cohort(subjects_of(place), tmp_path / "a" / "out", choices_of(place))
    assert everything_in(tmp_path) == {"file": b"precious"}


@pytest.mark.parametrize(
    ("cores", "memory_gib", "expected"), [(2, 100, 1), (8, 100, 4), (64, 17, 4), (64, 1, 1), (64, 1000, 6)]
)
def test_default_workers_by_cores_and_memory(place, monkeypatch, cores, memory_gib, expected):
    monkeypatch.setattr(cohort, "usable_processors", lambda: cores)
    monkeypatch.setattr(cohort, "available_memory", lambda device: memory_gib << 30)
    subjects = [*subjects_of(place), Subject("x", place / "none.nii"), Subject("y", place / "cohort.tsv")]
    assert min(len(subjects), cohort._workers_for(subjects, "cpu")) == expected
    assert cohort._workers_for(subjects, "cuda") == 1


@pytest.mark.parametrize("name", ["x.nii.gz", "x.mif", "x.mif.gz"])
def test_a_large_scan_counts_by_its_header(tmp_path, name):
    write_image(tmp_path / name, np.zeros((5, 20, 30, 40), np.float32), (20, 30, 40, 5), np.eye(4), None)
    assert cohort._bytes_of(Subject("x", tmp_path / name)) == 3 * 4 * 20 * 30 * 40 * 5


def test_workers_share_the_memory(place, monkeypatch):
    """Boxes with their halo of 6 voxels, of all workers together, take no more than one worker's would."""
    sharing = replace(choices_of(place), tile=None, sharers=4)
    assert cohort_subject._tile(SHAPE, sharing) is None  # fits whole
    large = (100, 100, 100)
    monkeypatch.setattr(cohort_subject, "voxels_that_fit", lambda config, device, engine, sharers: 4 * 28**3 // sharers)
    assert cohort_subject._tile(large, sharing) == 8  # (2·8 + 2·6)³ = 28³
    assert cohort_subject._tile((28, 28, 28), sharing) is None
    assert cohort_subject._tile(large, replace(sharing, sharers=1)) is None
    assert cohort_subject._tile(large, replace(sharing, tile=6)) == 6
    monkeypatch.setattr(cohort_subject, "voxels_that_fit", lambda config, device, engine, sharers: 1)
    assert cohort_subject._tile(large, sharing) == 4


@pytest.mark.slow
def test_processes_of_this_machine_find_what_one_finds(place, tmp_path):
    outcomes = infer_cohort(subjects_of(place), tmp_path / "out", choices_of(place), workers=2)
    assert states(outcomes) == dict.fromkeys(NAMES, DONE)
    assert_same_fods(tmp_path / "out", place / "alone")


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and two worker processes; the JSON file with its address."""
    place, file = tmp_path / "watched", tmp_path / "scheduler.json"
    place.mkdir()
    (place / "hold").touch()
    (place / "preload.py").write_text(PRELOAD.format(place=str(place)))
    dask, quiet = [sys.executable, "-m", "dask"], {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    listen = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    join = ["--scheduler-file", str(file), "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
    join += ["--preload", str(place / "preload.py"), "--local-directory", str(tmp_path / "scratch")]
    processes = [subprocess.Popen([*dask, "scheduler", *listen], **quiet)]
    try:
        processes += [subprocess.Popen([*dask, "worker", *join], **quiet) for _ in range(2)]
        assert waited_for(file.exists)
        yield file, place, [process.pid for process in processes[1:]]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def waited_for(condition, seconds=300.0):
    """Wait until the condition holds; return what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:0 workers have joined")
def test_a_killed_worker_leaves_every_subject_done_exactly_once(place, tmp_path, scheduler):
    """It is killed with a whole result that it has not published, which is the latest moment to lose one."""
    file, watched, workers = scheduler
    out, outcomes = tmp_path / "out", []
    run = threading.Thread(
        daemon=True,
        target=lambda: outcomes.extend(
            infer_cohort(subjects_of(place), out, choices_of(place), scheduler=str(file), retries=2)
        ),
    )
    run.start()
    (held,) = waited_for(lambda: list(watched.glob("held-*")))
    _, pid, name = held.name.split("-")
    assert int(pid) in workers and (out.with_name("out") / f"{name}.partial" / "run.json").exists()
    os.kill(int(pid), signal.SIGKILL)
    run.join(timeout=300)
    assert states(outcomes) == dict.fromkeys(NAMES, DONE)
    published = [line.split() for line in (watched / "published").read_text().splitlines()]
    assert sorted(subject for subject, _ in published) == sorted(NAMES)
    (survivor,) = set(workers) - {int(pid)}
    assert {int(worker) for _, worker in published} == {survivor}
    assert {path.name for path in out.iterdir()} == {*NAMES, "cohort.json"}
    assert_same_fods(out, place / "alone")
