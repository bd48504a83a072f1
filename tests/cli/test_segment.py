"""`shd segment` as a user runs it: train, predict, evaluate; a killed training; what is refused."""

import csv
import json
import shutil
import signal
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from dipy.data import get_fnames

import shd
from shd.errors import ShdWarning
from shd.evaluation.segmentation_scores import voxel_scores
from shd.io.checkpoints import read_state, write_model, write_state
from shd.io.scans import read_scan
from shd.io.segmenters import read_segmenter
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.training.segmentation import SegmentationCourse
from tests.support.segmentation import NETWORK, labelled_scan, store_study
from tests.support.stored import everything_in, run_program, store

STEPS, KILLED_AT = 12, 5
# Saves after every step, and dies as `kill -9` would make it once the fifth is saved.
DYING = f"""
import os, signal, sys
from shd.cli.main import run
from shd.fitting import resuming
write = resuming.write_state
def write_and_die(path, tensors, numbers):
    write(path, tensors, numbers)
    if numbers["steps_done"] == {KILLED_AT}:
        os.kill(os.getpid(), signal.SIGKILL)
resuming.write_state = write_and_die
run(sys.argv[1:])
"""
TINY = ("--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a study of four scans, one with two labels, and a configuration."""
    folder = tmp_path_factory.mktemp("segment")
    torch.set_num_threads(1)
    store_study(folder)
    small = {"patch": 5, "batch": 2, "validation": 4, "validations": 3, "held_out": 1, "network": NETWORK}
    (folder / "small.json").write_text(json.dumps(small))
    return folder


@pytest.fixture(scope="module")
def options(place):
    return [str(place / "study.tsv"), "--config", str(place / "small.json"), *TINY]


def segment(*arguments):
    from shd.cli.main import run

    with pytest.raises(SystemExit) as end:
        run(["segment", *map(str, arguments)])
    return end.value.code


@pytest.fixture(scope="module")
def trained(place, options):
    assert segment("train", *options, "--steps", "60", "--learning-rate", "0.02", "--out", place / "net") == 0
    return place / "net"


@pytest.fixture(scope="module")
def predicted(place, trained):
    arguments = (trained / "model.safetensors", place / "study.tsv", "--tile", "4", *TINY)
    assert segment("predict", *arguments, "--out", place / "predicted") == 0
    return place / "predicted"


def weights(folder):
    return read_segmenter(folder / "model.safetensors").network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_training_writes_its_files_and_learns(trained):
    assert {path.name for path in trained.iterdir()} == {"model.safetensors", "log.csv", "loss.png", "run.json"}
    with (trained / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [0, 20, 40, 60]
    assert float(rows[-1]["held_out"]) < float(rows[0]["held_out"])
    record, stored = json.loads((trained / "run.json").read_text()), read_segmenter(trained / "model.safetensors")
    assert record["labels"] == [0, 1] == list(stored.labels) and stored.config.classes == 2
    assert len(record["subjects"]["held_out"]) == 1 and len(record["subjects"]["learned"]) == 3
    precisions = [float(row["held_out_average_precision"]) for row in rows]
    assert record["validation"]["best"]["held_out_average_precision"] == pytest.approx(max(precisions))
    assert 0 < float(rows[0]["held_out_chance"]) == float(rows[-1]["held_out_chance"]) < precisions[-1]
    assert 0 < stored.thresholds[0] < 1 and sum(record["frequencies"]) == pytest.approx(1)


def test_predictions_lie_on_the_scans_grid_and_say_what_they_are(place, predicted):
    for name in ("s0", "s3"):
        files = {path.name for path in (predicted / name).iterdir()}
        images = ("label", "mask", "probability")
        assert files == {f"{image}{end}" for image in images for end in (".nii.gz", ".json")} | {"run.json"}
        scan = read_scan(place / name / "dwi.nii.gz", mask=place / name / "mask.nii.gz")
        chance, label = (nib.load(predicted / name / f"{image}.nii.gz") for image in ("probability", "label"))
        np.testing.assert_allclose(chance.affine, scan.affine, atol=1e-5)
        assert chance.shape == scan.shape and not chance.get_fdata()[~scan.mask].any()
        np.testing.assert_array_equal(label.get_fdata() == 1, chance.get_fdata() > 0.5)
        sidecar = json.loads((predicted / name / "probability.json").read_text())
        assert sidecar["Labels"] == [1] and sidecar["Model"]["Parameters"]["kind"] == "equivariant"


def test_scores_are_those_of_the_images_and_better_than_chance(capsys, place, predicted):
    ran = run_program(capsys, "segment", "evaluate", predicted, place / "study.tsv", "--out", place / "scores")
    assert ran.code == 0 and "curves.png" in ran.out and "avg. prec." in ran.out
    rows = json.loads((place / "scores" / "scores.json").read_text())["scores"]
    assert [row["subject"] for row in rows] == ["s0", "s1", "s2", "s3", "all"]
    truth, chance = [], []
    for name in ("s0", "s1", "s2", "s3"):
        inside = nib.load(predicted / name / "mask.nii.gz").get_fdata() > 0
        truth.append(nib.load(place / name / "label.nii.gz").get_fdata()[inside] == 1)
        chance.append(nib.load(predicted / name / "probability.nii.gz").get_fdata()[inside].astype(np.float32))
    expected = voxel_scores(np.concatenate(truth), np.concatenate(chance), rows[-1]["threshold"])
    assert rows[-1]["average_precision"] == pytest.approx(expected.average_precision)
    assert rows[-1]["dice_at"] == pytest.approx(expected.dice_at)
    assert expected.average_precision > 3 * expected.positives / expected.voxels
    assert rows[-1]["lesions"] == sum(row["lesions"] for row in rows[:-1]) == 4
    with (place / "scores" / "scores.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 5


def test_one_scan_is_predicted_and_scored_as_in_the_list(capsys, place, trained, predicted, tmp_path):
    files = (place / "s1" / "dwi.nii.gz", "--mask", place / "s1" / "mask.nii.gz")
    model = trained / "model.safetensors"
    assert run_program(capsys, "segment", "predict", model, *files, *TINY, "--out", tmp_path / "one").code == 0
    one, listed = (nib.load(f / "probability.nii.gz").get_fdata() for f in (tmp_path / "one", predicted / "s1"))
    np.testing.assert_allclose(one, listed, atol=2e-6)  # other boxes
    label = place / "s1" / "label.nii.gz"
    ran = run_program(
        capsys, "segment", "evaluate", tmp_path / "one", label, "--threshold", "0.4", "--out", tmp_path / "s"
    )
    assert ran.code == 0
    assert json.loads((tmp_path / "s" / "scores.json").read_text())["scores"][0]["threshold"] == 0.4


def test_finished_subjects_of_a_list_are_kept(capsys, place, trained, predicted):
    before = everything_in(predicted)
    arguments = ("segment", "predict", trained / "model.safetensors", place / "study.tsv", *TINY, "--out", predicted)
    ran = run_program(capsys, *arguments)
    assert ran.code == 0 and ran.out.count("finished already") == 4
    assert everything_in(predicted) == before


def test_a_result_of_another_choice_is_not_taken_for_finished(capsys, place, trained, predicted):
    """Left as it is, since --force is not given, but said to be another."""
    before = everything_in(predicted)
    arguments = ("segment", "predict", trained / "model.safetensors", place / "study.tsv", *TINY, "--out", predicted)
    for choice in ("--ignore-bad-voxels", "--resample"):
        ran = run_program(capsys, *arguments, choice)
        assert ran.code == 2 and "finished already" not in ran.out and ran.err.count("give another --out") == 4
    assert everything_in(predicted) == before


def test_one_failing_subject_does_not_end_a_list(capsys, trained, tmp_path):
    study = store_study(tmp_path, 3)
    (tmp_path / "s1" / "dwi.nii.gz").write_bytes(b"no scan")
    arguments = ("segment", "predict", trained / "model.safetensors", study, *TINY, "--out", tmp_path / "p")
    ran = run_program(capsys, *arguments)
    said = " ".join(ran.err.split())
    assert ran.code == 2 and "failed: s1: dwi.nii.gz: not a readable NIfTI" in said and "Traceback" not in said
    assert "error: 1 of 3 subjects failed: s1" in said
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["s0", "s2"]
    store_study(tmp_path, 3)  # mended, the same command makes what is missing
    ran = run_program(capsys, *arguments)
    assert ran.code == 0 and ran.out.count("finished already") == 2 and (tmp_path / "p" / "s1" / "run.json").exists()


@pytest.mark.parametrize(
    "choices", [("--network", "cnn", "--loss", "cross-entropy"), ("--loss", "dice", "--turn", "--noise", "0.05")]
)
def test_every_choice_trains(capsys, options, tmp_path, choices):
    ran = run_program(capsys, "segment", "train", *options, *choices, "--steps", "3", "--out", tmp_path / "n")
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "n" / "run.json").read_text())
    assert record["model"]["kind"] == ("cnn" if "cnn" in choices else "equivariant")
    assert record["settings"]["turn"] == ("--turn" in choices)


def test_several_labels_make_several_volumes(capsys, place, options, tmp_path):
    study = store_study(tmp_path, 3, labels=2)
    run = ("segment", "train", study, *options[1:], "--steps", "4", "--out", tmp_path / "n")
    assert run_program(capsys, *run).code == 0
    model = tmp_path / "n" / "model.safetensors"
    assert run_program(capsys, "segment", "predict", model, study, *TINY, "--out", tmp_path / "p").code == 0
    assert nib.load(tmp_path / "p" / "s0" / "probability.nii.gz").shape == (8, 7, 6, 2)
    assert run_program(capsys, "segment", "evaluate", tmp_path / "p", study, "--out", tmp_path / "s").code == 0
    rows = json.loads((tmp_path / "s" / "scores.json").read_text())["scores"]
    assert [(row["subject"], row["label"]) for row in rows[-2:]] == [("all", 1), ("all", 2)]


def test_without_held_out_scans_the_scores_say_that_they_are_of_those_learned_from(capsys, options, tmp_path):
    run = ("--held-out", "0", "--steps", "3", "--out", tmp_path / "n")
    ran = run_program(capsys, "segment", "train", *options, *run)
    assert ran.code == 0 and "average precision on the scans learned from: " in ran.out and "held-out" not in ran.out
    header = (tmp_path / "n" / "log.csv").read_text().splitlines()[0]
    assert "on_learned_average_precision" in header.split(",") and "held_out" not in header
    assert json.loads((tmp_path / "n" / "run.json").read_text())["subjects"]["held_out"] == []


def test_patience_ends_a_training_that_gets_no_better(capsys, options, tmp_path):
    run = ("--steps", "30", "--learning-rate", "9", "--patience", "1", "--out", tmp_path / "n")
    ran = run_program(capsys, "segment", "train", *options, *run)
    assert ran.code == 0 and json.loads((tmp_path / "n" / "run.json").read_text())["steps"] < 30
    assert "nothing was learned: the best of 2 validations is that of step 0 (average prec" in " ".join(ran.err.split())


def test_subjects_to_validate_on_can_be_listed(capsys, place, options, tmp_path):
    lines = (place / "study.tsv").read_text().splitlines()
    for name, rows in (("learn", lines[1:3]), ("watch", lines[3:])):
        (place / f"{name}.tsv").write_text("\n".join([lines[0], *rows]) + "\n")
    run = ("segment", "train", place / "learn.tsv", *options[1:], "--steps", "2", "--out", tmp_path / "n")
    assert run_program(capsys, *run, "--validation", place / "watch.tsv").code == 0
    subjects = json.loads((tmp_path / "n" / "run.json").read_text())["subjects"]
    assert subjects == {"learned": ["s0", "s1"], "held_out": ["s2", "s3"]}
    ran = run_program(capsys, *run, "--validation", place / "learn.tsv", "--force")
    assert ran.code == 2 and "2 subjects are both learned from and validated on" in " ".join(ran.err.split())


def test_a_scan_of_other_directions_needs_resampling(capsys, options, tmp_path):
    study = store_study(tmp_path, 3, turned=2)
    run = ("segment", "train", study, *options[1:], "--steps", "2", "--out", tmp_path / "n")
    ran = run_program(capsys, *run)
    assert ran.code == 2 and "12 weighted volumes instead of 7; give --resample" in " ".join(ran.err.split())
    assert not (tmp_path / "n").exists() and not (tmp_path / "n.partial").exists()
    assert run_program(capsys, *run, "--resample").code == 0


def test_voxels_that_are_no_cubes_are_warned_of_and_not_turned(capsys, options, tmp_path):
    study = store_study(tmp_path, 2, scale=(1.0, 1.0, 1.25))
    run = ("segment", "train", study, *options[1:], "--steps", "1")
    ran = run_program(capsys, *run, "--out", tmp_path / "n")
    assert ran.code == 0 and "voxels of 2 × 2 × 2.5 mm: the network counts voxels as cubes" in " ".join(ran.err.split())
    ran = run_program(capsys, *run, "--network", "cnn", "--out", tmp_path / "c")
    assert ran.code == 0 and "as cubes" not in ran.err
    ran = run_program(capsys, *run, "--turn", "--out", tmp_path / "t")
    assert ran.code == 2 and "no cubes to 10 %, so boxes cannot be turned; give no --turn" in " ".join(ran.err.split())
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("scale", "message"), [((2.0,) * 3, "voxels of 4 × 4 × 4 mm instead"), ((-1.0, 1, 1), "mirror")]
)
def test_a_network_takes_no_scan_of_other_voxels(capsys, trained, tmp_path, scale, message):
    store_study(tmp_path, 1, scale=scale)
    files = (tmp_path / "s0" / "dwi.nii.gz", "--mask", tmp_path / "s0" / "mask.nii.gz", "--resample")
    run = ("segment", "predict", trained / "model.safetensors", *files, *TINY, "--out", tmp_path / "p")
    ran = run_program(capsys, *run)
    assert ran.code == 2 and message in " ".join(ran.err.split()) and not (tmp_path / "p").exists()


@pytest.fixture(scope="module")
def killed(place, options):
    """What a training left that died by `kill -9` with its fifth step saved, between two validations."""
    run = [*options, "--steps", str(STEPS), "--checkpoint-seconds", "0"]
    command = [sys.executable, "-c", DYING, "segment", "train", *run, "--out", str(place / "killed")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (place / "killed").exists()
    return place / "killed.partial", run


@pytest.fixture
def remains(killed, tmp_path):
    """A copy of that, where the same command with `--out out` finds it."""
    left, run = killed
    shutil.copytree(left, tmp_path / "out.partial")
    return tmp_path / "out", run


def test_a_killed_training_goes_on_to_the_same_network(capsys, monkeypatch, remains, tmp_path):
    out, run = remains
    assert read_state(tmp_path / "out.partial" / "checkpoint.safetensors")[1]["steps_done"] == KILLED_AT
    assert run_program(capsys, "segment", "train", *run, "--out", tmp_path / "whole").code == 0
    taken, step = [], SegmentationCourse.step
    monkeypatch.setattr(
        SegmentationCourse, "step", lambda self, batch: (taken.append(self.steps_done), step(self, batch))
    )
    ran = run_program(capsys, "segment", "train", *run, "--out", out)
    assert ran.code == 0 and "going on with the interrupted training" in ran.out
    assert taken == list(range(KILLED_AT, STEPS))
    assert same(weights(tmp_path / "whole"), weights(out))
    whole, resumed = (
        json.loads((folder / "run.json").read_text())["validation"] for folder in (tmp_path / "whole", out)
    )
    assert whole["best"] | {"seconds": 0} == resumed["best"] | {"seconds": 0}
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "log.csv", "loss.png", "run.json"}
    assert not out.with_name("out.partial").exists()


@pytest.mark.parametrize("change", [("--seed", "1"), ("--noise", "0.1"), ("--foreground", "0.9")])
def test_an_interrupted_training_of_other_settings_is_refused_and_kept(capsys, remains, change):
    out, run = remains
    before = everything_in(out.parent)
    ran = run_program(capsys, "segment", "train", *run, *change, "--out", out)
    assert ran.code == 2 and "had other data or settings than this one" in " ".join(ran.err.split())
    assert "--force to start anew" in ran.err and "checkpoint.safetensors" in ran.err
    state = "out.partial/checkpoint.safetensors"
    assert everything_in(out.parent)[state] == before[state]


def test_a_state_of_another_layout_names_the_file_and_the_way_out(capsys, remains):
    """Such as another version of shd would leave: the program says so, whatever is missing in it."""
    out, run = remains
    checkpoint = out.with_name("out.partial") / "checkpoint.safetensors"
    tensors, numbers = read_state(checkpoint)
    write_state(checkpoint, tensors, {name: value for name, value in numbers.items() if name != "history"})
    ran = run_program(capsys, "segment", "train", *run, "--out", out)
    assert ran.code == 2 and "checkpoint.safetensors: saved by another version of shd (KeyError)" in ran.err


def test_white_matter_of_the_human_scan_in_dipy(capsys, tmp_path):
    """Labels from the tissue amounts of a network in the package, learned from the raw signal of one half."""
    image, bval, bvec = get_fnames(name="small_64D")
    with pytest.warns(ShdWarning):
        scan = shd.read_scan(image, bval, bvec)
        found = shd.infer(scan, "small")
    amount = found.fod.wm[..., 0]
    white = (amount > np.median(amount[scan.mask])) & scan.mask
    lines = ["name\tdwi\tmask\tlabel"]
    for number, part in enumerate((slice(0, 5), slice(5, 10))):
        half = type(scan)(scan.data[part], scan.affine, scan.gradients, scan.mask[part], f"half{number}")
        files = store(half, tmp_path / half.name)
        nib.save(nib.Nifti1Image(white[part].astype(np.uint8), scan.affine), tmp_path / half.name / "label.nii.gz")
        lines.append("\t".join([half.name, str(files["dwi"]), str(files["mask"]), f"{half.name}/label.nii.gz"]))
    (tmp_path / "halves.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "c.json").write_text(json.dumps({"patch": 5, "batch": 2, "held_out": 1, "validations": 2}))
    run = ("segment", "train", tmp_path / "halves.tsv", "--config", tmp_path / "c.json", *TINY)
    assert run_program(capsys, *run, "--network", "cnn", "--steps", "60", "--out", tmp_path / "n").code == 0
    model = tmp_path / "n" / "model.safetensors"
    listed = tmp_path / "halves.tsv"
    assert run_program(capsys, "segment", "predict", model, listed, *TINY, "--out", tmp_path / "p").code == 0
    assert run_program(capsys, "segment", "evaluate", tmp_path / "p", listed, "--out", tmp_path / "s").code == 0
    held_out = json.loads((tmp_path / "n" / "run.json").read_text())["subjects"]["held_out"][0]
    rows = json.loads((tmp_path / "s" / "scores.json").read_text())["scores"]
    assert next(row for row in rows if row["subject"] == held_out)["roc_auc"] > 0.7


def spoiled(folder, change):
    """Write the study again and change the labels of its second scan by a function of its values."""
    study = store_study(folder, 3)
    scan, truth = labelled_scan(1)
    values, affine = change(truth.astype(np.float32), scan.affine)
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), folder / "s1" / "label.nii.gz")
    return study


SPOILED = [
    (lambda v, a: (v * 0.7, a), (), "are no labels, the first at"),
    (lambda v, a: (v[:5], a), (), "is 5 × 7 × 6 voxels but the scan"),
    (lambda v, a: (v, np.diag([2.0, 2.0, 2.0, 1.0])), (), "mm away from the scan"),
    (lambda v, a: (v * 3, a), ("--labels", "1"), "s1: 27 voxels of label 3, which is not among those learned"),
    (lambda v, a: (v, a), ("--labels", "1,2"), "label 2 occurs in 0 of the 2 scans learned from (there are 1)"),
    (lambda v, a: (v, a), ("--labels", "1,x"), "labels '1,x': give whole numbers"),
]


@pytest.mark.parametrize(("change", "more", "message"), SPOILED)
def test_labels_that_cannot_be_used_are_one_error(capsys, options, tmp_path, change, more, message):
    study = spoiled(tmp_path, change)
    before = everything_in(tmp_path)
    ran = run_program(capsys, "segment", "train", study, *options[1:], *more, "--steps", "2", "--out", tmp_path / "n")
    assert ran.code == 2 and message in " ".join(ran.err.split()) and "Traceback" not in ran.err
    assert everything_in(tmp_path) == before


def test_a_study_without_any_label_is_refused(capsys, options, tmp_path):
    study = store_study(tmp_path, 2, labels=0)
    ran = run_program(capsys, "segment", "train", study, *options[1:], "--steps", "2", "--out", tmp_path / "n")
    assert ran.code == 2 and "0 labels above 0 in the 1 label images" in " ".join(ran.err.split())


def test_subjects_without_label_images_are_refused(capsys, place, options, predicted, tmp_path):
    rows = [line.rsplit("\t", 1)[0] for line in (place / "study.tsv").read_text().splitlines()]
    (place / "bare.tsv").write_text("\n".join(rows) + "\n")
    for arguments in (
        ("train", place / "bare.tsv", *options[1:], "--out", tmp_path / "n"),
        ("evaluate", predicted, place / "bare.tsv", "--out", tmp_path / "s"),
    ):
        ran = run_program(capsys, "segment", *arguments)
        assert ran.code == 2 and "s0: no label image" in " ".join(ran.err.split())
    (place / "none.tsv").write_text("name\tdwi\tlabel\n")
    ran = run_program(capsys, "segment", "train", place / "none.tsv", "--out", tmp_path / "n")
    assert ran.code == 2 and "0 subjects" in ran.err
    assert not any(tmp_path.iterdir())


def test_models_that_cannot_be_used_are_one_error(capsys, place, trained, tmp_path):
    other = tmp_path / "deconvolver.safetensors"
    write_model(other, Deconvolver(ModelConfig(input_channels=2, tissues=("wm",), width=2, levels=2)))
    short = tmp_path / "short.safetensors"
    short.write_bytes((trained / "model.safetensors").read_bytes()[:-9])
    messages = {
        other: "holds model, not a segmentation network; give the model.safetensors of shd segment train",
        short: "cannot be read",
        place: "a folder without model.safetensors",
    }
    for model, message in messages.items():
        ran = run_program(capsys, "segment", "predict", model, place / "study.tsv", "--out", tmp_path / "p")
        assert ran.code == 2 and message in " ".join(ran.err.split()) and "Traceback" not in ran.err
        assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "2", "--minutes", "1"), "1.0 minutes and 2 steps; give one of them"),
        (("--loss", "hinge"), "loss 'hinge': use one of cross-entropy, dice, both"),
        (("--foreground", "1.5"), "foreground 1.5 is a share"),
        (("--network", "transformer"), "kind 'transformer': use one of equivariant, cnn"),
        (("--held-out", "4"), "4 of 4 subjects held out"),
    ],
)
def test_settings_that_cannot_be_are_one_error(capsys, options, tmp_path, arguments, message):
    ran = run_program(capsys, "segment", "train", *options, *arguments, "--out", tmp_path / "n")
    assert ran.code == 2 and message in " ".join(ran.err.split()) and "Traceback" not in ran.err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", [{"steps": 2, "colour": 1}, {"network": {"classes": 3}}, {"network": [1]}, [1]])
def test_a_configuration_that_cannot_be_is_one_error(capsys, options, tmp_path, content):
    (tmp_path / "c.json").write_text(json.dumps(content))
    ran = run_program(capsys, "segment", "train", options[0], "--config", tmp_path / "c.json", "--out", tmp_path / "n")
    assert ran.code == 2 and "Traceback" not in ran.err and ran.err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--threshold", "0"), "threshold 0: a probability above 0"), (("--overlap", "2"), "overlap 2: a share above 0")],
)
def test_scores_that_cannot_be_are_one_error(capsys, place, predicted, tmp_path, arguments, message):
    ran = run_program(
        capsys, "segment", "evaluate", predicted, place / "study.tsv", *arguments, "--out", tmp_path / "s"
    )
    assert ran.code == 2 and message in " ".join(ran.err.split())
    ran = run_program(capsys, "segment", "evaluate", place, place / "study.tsv", "--out", tmp_path / "s")
    assert ran.code == 2 and "s0: holds no probability.nii.gz" in " ".join(ran.err.split())
    (tmp_path / "p").mkdir()
    ran = run_program(capsys, "segment", "evaluate", tmp_path / "p", place / "study.tsv", "--out", tmp_path / "s")
    assert ran.code == 2 and "s0: no such folder; give what shd segment predict" in " ".join(ran.err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
