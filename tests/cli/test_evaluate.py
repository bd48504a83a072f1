"""`shd evaluate` end to end: numbers, files and tables, with truth and without; one line for whatever is wrong."""

import csv
import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from shd.cli.evaluation_tables import assessment_tables
from shd.evaluation.assessment import assess_ceiling, assess_fods
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.io.fodf import write_fod, write_scalar
from shd.io.peaks import write_peaks
from shd.io.phantoms import write_phantom
from shd.io.responses import write_response
from shd.scans.encoding_guess import Guess
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from tests.support.affines import AFFINES
from tests.support.stored import everything_in, run_program, store

AFFINE = AFFINES["oblique"]
SMALL = Protocol("small", 2, ((1000.0, 15), (2000.0, 15)))


@pytest.fixture(scope="module")
def phantom():
    return crossing_phantom(60.0, shape=(8, 7, 5), protocol=SMALL, affine=AFFINE, snr=30.0)


@pytest.fixture(scope="module")
def stored(phantom, tmp_path_factory) -> Path:
    """A phantom's folder, a blunt answer as an image, as peaks and as the folder of a fit with tissues."""
    root = tmp_path_factory.mktemp("evaluation")
    truth = Truth.of(phantom)
    (root / "phantom").mkdir()
    write_phantom(root / "phantom", phantom)
    blunt = truth.ceiling(degree=6).astype(np.float32)
    write_fod(root / "blunt.nii.gz", blunt, AFFINE)
    mask = np.ones(truth.mask.shape, dtype=bool)
    peaks = find_peaks(blunt[mask], count=10, relative_threshold=0.05).on_grid(mask)
    write_peaks(root / "found.nii.gz", peaks, AFFINE)
    (root / "fit").mkdir()
    write_fod(root / "fit" / "wm_fod.nii.gz", blunt, AFFINE)
    write_scalar(root / "fit" / "csf.nii.gz", np.zeros(mask.shape, np.float32), AFFINE)
    return root


def test_scores_of_an_image_a_folder_and_peaks(stored, phantom, tmp_path, capsys):
    out = tmp_path / "scores"
    ran = run_program(
        capsys, "evaluate", stored / "blunt.nii.gz", f"ours={stored / 'fit'}", "--peaks", stored / "found.nii.gz",
        "--truth", stored / "phantom", "--out", out, "--threshold", "0.3",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.csv", "evaluation.json", "evaluation.png"]
    record = json.loads((out / "evaluation.json").read_text())
    assert [result["name"] for result in record["results"]] == ["ceiling", "blunt", "ours", "found"]
    truth = Truth.of(phantom)
    field = FodField(truth.ceiling(degree=6).astype(np.float32), {}, AFFINE, truth.mask)
    expected = assess_fods("blunt", field, truth, threshold=0.3).groups["2 fibres"]
    for result in record["results"][1:]:
        scores = {row["threshold"]: row for row in result["groups"]["2 fibres"]["scores"]}
        assert scores[0.3]["f1"] == pytest.approx(expected.sweep.at(0.3).f1)
        assert scores[0.3]["angular_error"] == pytest.approx(expected.sweep.at(0.3).angular_error, abs=1e-3)
    assert record["results"][2]["tissue_errors"]["csf"] == pytest.approx(
        truth.tissue_fractions[truth.mask][:, 2].mean(), abs=1e-5
    )
    assert record["results"][3]["groups"]["all"]["jensen_shannon"] is None
    with (out / "evaluation.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["result"] for row in rows} == {"ceiling", "blunt", "ours", "found"}
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines if re.match(r"\s*(ceiling|blunt|ours|found) ", line)][:4] == [
        "ceiling", "blunt", "ours", "found"
    ]  # fmt: skip
    assert lines[-1].startswith(f"look at {out / 'evaluation.png'}")


def test_a_tractogram_is_scored_on_the_bundles(stored, tmp_path, capsys):
    folder = tmp_path / "with ends"
    folder.mkdir()
    for name in ("phantom",):
        for path in (stored / name).rglob("*"):
            target = folder / path.relative_to(stored / name)
            target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    ends = folder / "truth" / "endpoints.nii.gz"
    labels = np.zeros((8, 7, 5), np.int16)
    labels[0, 0, 0], labels[7, 6, 4] = 1, 2
    nib.save(nib.Nifti1Image(labels, AFFINE), ends)
    line = np.array([[0, 0, 0], [7, 6, 4.0]]) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    tracks = tmp_path / "tracks.tck"
    nib.streamlines.save(nib.streamlines.Tractogram([line, line[:1]], affine_to_rasmm=np.eye(4)), str(tracks))
    out = tmp_path / "scores"
    ran = run_program(capsys, "evaluate", "--tractogram", f"mine={tracks}", "--truth", folder, "--out", out)
    assert ran.code == 0, ran.err
    scores = json.loads((out / "evaluation.json").read_text())["tractograms"][0]
    assert (scores["name"], scores["valid_connections"], scores["valid_bundles"]) == ("mine", 0.5, 1)
    assert (out / "bundles.csv").read_text().splitlines()[0] == "tractogram,bundle,streamlines,overlap,overreach,f1"
    assert "tractograms on 2 bundles" in ran.out and "ceiling" not in ran.out
    assert sorted(path.name for path in out.iterdir()) == ["bundles.csv", "evaluation.json", "tractograms.png"]
    assert f"look at {out / 'tractograms.png'};" in ran.out


def test_another_basis_is_warned_of(stored, tmp_path, capsys, monkeypatch):
    bare = tmp_path / "bare.nii.gz"
    bare.write_bytes((stored / "blunt.nii.gz").read_bytes())
    words = "the guess of a test"
    monkeypatch.setattr("shd.fitting.checked_result.guess_basis_of", lambda _: Guess("descoteaux07", True, words))
    ran = run_program(capsys, "evaluate", bare, "--truth", stored / "phantom", "--out", tmp_path / "scores")
    said = " ".join(ran.err.split())
    assert ran.code == 0 and "warning: bare.nii.gz: read in MRtrix3's basis" in said and words in said


def test_an_evaluation_is_replaced_with_force_alone(stored, tmp_path, capsys):
    out = tmp_path / "a"
    out.mkdir()
    names = ["evaluation.csv", "evaluation.json", "evaluation.png"]
    for name in names:
        (out / name).write_text("of an evaluation before")
    (out / "evaluation.json").write_text(json.dumps({"written": names}))
    before = everything_in(tmp_path)
    arguments = ("evaluate", stored / "fit", "--truth", stored / "phantom", "--out", out)
    again = run_program(capsys, *arguments)
    assert again.code == 2 and "--force" in again.err
    assert everything_in(tmp_path) == before
    assert run_program(capsys, *arguments, "--force").code == 0
    assert everything_in(out).keys() == {"evaluation.csv", "evaluation.json", "evaluation.png"}
    assert b"of an evaluation before" not in everything_in(out).values()


def test_a_narrow_terminal_cuts_names_and_no_number(phantom):
    ceiling = assess_ceiling(Truth.of(phantom))
    group = ceiling.groups["all"]
    names = ("all", *(f"{count} fibres" for count in (1, 2, 3, 4, 5)), "25-35°", "35-45°", "45-60°", "60-75°", "75-90°")
    ceiling = replace(ceiling, groups=dict.fromkeys(names, group))
    said = StringIO()
    for table in assessment_tables([ceiling, replace(ceiling, name="of-a-long-name-that-begins-so")]):
        Console(file=said, width=80).print(table)
    lines = said.getvalue().splitlines()
    rows = [[line.split()[1:] for line in lines if line.startswith(f" {name}")] for name in ("ceiling", "of-a-")]
    assert rows[0] == rows[1]
    assert [len(row) for row in rows[0]] == [8, 10, 10, 5]
    assert "…" not in "".join(number for row in rows[0] for number in row)


def moved(root: Path, tmp_path: Path) -> Path:
    image = nib.load(root / "blunt.nii.gz")
    affine = image.affine.copy()
    affine[0, 3] += 3.0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), tmp_path / "moved.nii.gz")
    return tmp_path / "moved.nii.gz"


def changed(root: Path, tmp_path: Path, part: tuple[slice, ...]) -> Path:
    image = nib.load(root / "blunt.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[part], image.affine), tmp_path / "changed.nii.gz")
    return tmp_path / "changed.nii.gz"


def lame_phantom(root: Path, tmp_path: Path, lost: str) -> Path:
    for path in (root / "phantom").rglob("*"):
        target = tmp_path / "lame" / path.relative_to(root / "phantom")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.name != lost:
            target.write_bytes(path.read_bytes())
    return tmp_path / "lame"


# What is given, with what truth and options, and what the message must say.
BAD = {
    "another shape": (
        lambda r, t: [changed(r, t, np.s_[:5])],
        r"changed\.nii\.gz is 5 × 7 × 5 voxels but the truth 8 × 7 × 5",
    ),
    "another affine": (lambda r, t: [moved(r, t)], r"moved\.nii\.gz lies 3\.00 mm away from the truth"),
    "wrong number of coefficients": (
        lambda r, t: [changed(r, t, np.s_[..., :20])],
        r"changed\.nii\.gz: 20 coefficients: .*1, 6, 15, 28, 45",
    ),
    "an isotropic image": (lambda r, t: [r / "fit" / "csf.nii.gz"], r"csf\.nii\.gz: 1 coefficient a voxel"),
    "no such file": (lambda r, t: [t / "none.nii.gz"], r"none\.nii\.gz: no such file"),
    "a folder without a result": (lambda r, t: [r], r"holds \d+ files but no wm_fod\.nii\.gz; give the folder"),
    "two of one name": (
        lambda r, t: [r / "fit", r / "blunt.nii.gz", "fit=" + str(r / "fit")],
        "two results are called fit",
    ),
    "the name of the ceiling": (lambda r, t: [f"ceiling={r / 'fit'}"], "the name ceiling is that of"),
    "a threshold of two": (lambda r, t: [r / "fit", "--threshold", "2"], "threshold 2: peaks count from a share"),
    "a threshold of nothing": (
        lambda r, t: [r / "fit", "--threshold", "0"],
        "threshold 0: .*more than 0 and at most 1",
    ),
    "peaks that are none": (
        lambda r, t: ["--peaks", changed(r, t, np.s_[..., :20])],
        r"changed\.nii\.gz: shape \(8, 7, 5, 20\), but peaks",
    ),
    "a tractogram that is none": (
        lambda r, t: ["--tractogram", r / "blunt.nii.gz"],
        r"blunt\.nii\.gz: not a readable trac",
    ),
    "a scan's options": (lambda r, t: ["--scan", r / "phantom" / "dwi.nii.gz"], "with --truth, or --scan alone"),
    "nothing": (lambda r, t: [], "0 results"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_results_are_one_clear_error(stored, tmp_path, capsys, case):
    arguments, message = BAD[case]
    out = tmp_path / "out"
    ran = run_program(capsys, "evaluate", *arguments(stored, tmp_path), "--truth", stored / "phantom", "--out", out)
    assert ran.code == 2
    assert re.search(message, " ".join(re.sub(r"[│╭╮╰╯─]", " ", ran.err).split())), ran.err
    assert "Traceback" not in ran.err
    assert not out.exists() and not out.with_name("out.partial").exists()


@pytest.mark.parametrize("lost", ["fod.nii.gz", "tissues.nii.gz", "endpoints.nii.gz", "mask.nii.gz"])
def test_truth_with_a_file_lost_is_one_clear_error(stored, tmp_path, capsys, lost):
    truth = lame_phantom(stored, tmp_path, lost)
    ran = run_program(capsys, "evaluate", stored / "fit", "--truth", truth, "--out", tmp_path / "out")
    assert ran.code == 2 and lost in ran.err and "no such file" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_truth_is_one_clear_error(stored, tmp_path, capsys):
    ran = run_program(capsys, "evaluate", stored / "fit", "--truth", stored / "fit", "--out", tmp_path / "out")
    assert ran.code == 2 and "shd simulate" in ran.err


def test_the_folder_of_a_fit_is_no_place_for_scores(stored, tmp_path, capsys):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "run.json").write_text("{}")
    before = everything_in(tmp_path)
    arguments = (stored / "fit", "--truth", stored / "phantom", "--out", tmp_path / "fit", "--force")
    ran = run_program(capsys, "evaluate", *arguments)
    assert ran.code == 2 and "holds run.json" in ran.err
    assert everything_in(tmp_path) == before


@pytest.fixture(scope="module")
def scan_arguments(phantom, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("scan")
    files = store(phantom.scan, folder)
    for response in phantom.responses:
        write_response(folder / f"{response.tissue}.txt", response)
    options = {"scan": files["dwi"], "bval": files["bval"], "bvec": files["bvec"], "mask": files["mask"]}
    options |= {tissue: folder / f"{tissue}.txt" for tissue in ("wm", "gm", "csf")}
    return [word for name, path in options.items() for word in (f"--{name}", str(path))]


def test_a_scan_without_truth_is_predicted_and_halved(scan_arguments, tmp_path, capsys):
    out = tmp_path / "scores"
    ran = run_program(
        capsys,
        "evaluate",
        *scan_arguments,
        "--steps",
        "1",
        "--cross-validate",
        "2",
        "--split-half",
        "--csd",
        "--out",
        out,
    )
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.csv", "evaluation.json", "evaluation.png"]
    record = json.loads((out / "evaluation.json").read_text())
    ours, csd = record["methods"]
    assert (ours["name"], csd["name"]) == ("shd", "CSD")
    assert [shell["bvalue"] for shell in ours["held_out"]["shells"]] == [1000.0, 2000.0]
    assert 0.8 < ours["held_out"]["relative"] < csd["held_out"]["relative"]  # CSD knows neither grey matter nor CSF
    assert ours["split_half"]["voxels"] == csd["split_half"]["voxels"] > 0
    assert record["settings"]["steps"] == 1
    assert "4 fits" in ran.out and "shd fold 2/2" in ran.err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--cross-validate", "1"], "1 part: "),
        (["--cross-validate", "16"], "b=1000 has 15 directions, too few for 16 parts"),
        (["--cross-validate", "3", "--truth", "somewhere"], "or --scan alone"),
        (["--split-half", "--threshold", "1.5"], "threshold 1.5"),
    ],
)
def test_impossible_evaluations_of_a_scan_are_refused(scan_arguments, tmp_path, capsys, extra, message):
    ran = run_program(capsys, "evaluate", *scan_arguments, "--steps", "1", *extra, "--out", tmp_path / "out")
    assert ran.code == 2
    assert message in " ".join(re.sub(r"[│╭╮╰╯─]", " ", ran.err).split())
    assert not (tmp_path / "out").exists()
