"""`shd track` as a user runs it: on simulated bundles, its files, its words, and what it refuses."""

import json
import re
import shutil
import subprocess

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from shd.evaluation.tractogram_scores import score_tractogram
from shd.evaluation.truth import Truth
from shd.io.fodf import write_fod
from shd.io.tractograms import read_streamlines
from shd.simulation.families import family_geometry
from shd.simulation.phantoms import measured
from shd.simulation.protocols import CLINICAL
from tests.support.affines import AFFINES
from tests.support.stored import everything_in, run_program
from tests.tracking.phantoms import straight_field

AFFINE = AFFINES["oblique"]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr("shd.report.streamline_figure.DOTS_PER_INCH", 30)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the fODFs of a straight bundle."""
    place = tmp_path_factory.mktemp("track")
    fod = straight_field(AFFINE)
    write_fod(place / "fod.nii.gz", fod.wm, AFFINE, fod.mask)
    return place


def region(path, voxels=(slice(5, 8),) * 3, shape=(14, 13, 12), affine=AFFINE):
    values = np.zeros(shape, np.uint8)
    values[voxels] = 1
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


# family, its options, and the least shares of valid connections and overlap: about what the tracker reaches, less 0.1
BUNDLES = [
    ("bending", {"angle": 90.0}, 0.65, 0.8),
    ("crossing", {"angle": 60.0}, 0.75, 0.7),
    ("crossing", {"angle": 45.0}, 0.75, 0.7),
]


@pytest.mark.parametrize("algorithm", ["deterministic", "probabilistic"])
@pytest.mark.parametrize(("family", "choices", "valid", "overlap"), BUNDLES)
def test_bundles_are_connected_from_end_to_end(capsys, tmp_path, algorithm, family, choices, valid, overlap):
    """The true fODFs of a bent bundle and of two crossings, tracked by the program and scored against the truth."""
    phantom = measured(family_geometry(family, **choices), protocol=CLINICAL, snr=None)
    truth = Truth.of(phantom)
    write_fod(tmp_path / "fod.nii.gz", truth.ceiling(), truth.affine, truth.mask)
    out = tmp_path / "tracks.trx"
    options = ("--algorithm", algorithm, "--seed-count", 400, "--min-length", 5, "--out", out)
    ran = run_program(capsys, "track", tmp_path / "fod.nii.gz", *options)
    assert ran.code == 0, ran.err
    scores = score_tractogram(read_streamlines(out), truth)
    assert scores.valid_bundles == scores.bundles == len(phantom.geometry.bundles)
    assert scores.valid_connections > valid and scores.overlap > overlap
    assert scores.invalid_connections < 0.1


def test_files_and_words(capsys, tmp_path, place):
    out = tmp_path / "tracks.tck"
    seeds = region(tmp_path / "seeds.nii.gz")
    options = ("--algorithm", "deterministic", "--seeds", seeds, "--seeds-per-voxel", 2, "--out", out, "--seed", 5)
    ran = run_program(capsys, "track", place / "fod.nii.gz", *options)
    assert ran.code == 0, ran.err
    assert {path.name for path in tmp_path.iterdir()} == {"seeds.nii.gz", "tracks.tck", "tracks.png", "tracks.json"}
    words = ran.out.splitlines()
    assert words[0] == "54 streamlines from 54 seeds, deterministic"
    assert words[1].startswith("wrote ") and "tracks.png" in words[1]
    assert words[3:] == [f"  mrview {place / 'fod.nii.gz'} -tractography.load {out}"]
    record = json.loads((tmp_path / "tracks.json").read_text())
    assert record["settings"]["algorithm"] == "deterministic" and record["settings"]["step"] == 1.0
    assert (record["streamlines"], record["seeds"]) == (54, 54)
    assert record["inputs"] == {"fod": str(place / "fod.nii.gz"), "seeds": str(seeds)}
    assert len(read_streamlines(out).lengths) == 54
    assert matplotlib.image.imread(tmp_path / "tracks.png").shape[1] > 300


@pytest.mark.parametrize("ending", ["trx", "tck", "trk"])
def test_the_same_seed_gives_the_same_file(capsys, tmp_path, place, ending):
    for name, threads in (("a", 1), ("b", 2)):
        options = ("--seed-count", 150, "--threads", threads, "--out", tmp_path / f"{name}.{ending}")
        ran = run_program(capsys, "track", place / "fod.nii.gz", *options)
        assert ran.code == 0
        viewer = "mrview" if ending == "tck" else f"dipy_horizon {tmp_path / name}.{ending}"
        assert ran.out.splitlines()[-1].strip().startswith(viewer)
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_existing_files_are_kept_unless_forced(capsys, tmp_path, place):
    (tmp_path / "tracks.png").write_text("precious")
    options = ("--seed-count", 20, "--out", tmp_path / "tracks.trx")
    ran = run_program(capsys, "track", place / "fod.nii.gz", *options)
    assert ran.code == 2 and "tracks.png: exists already; give another name, or --force" in ran.err
    assert (tmp_path / "tracks.png").read_text() == "precious"
    assert run_program(capsys, "track", place / "fod.nii.gz", *options, "--force").code == 0
    assert matplotlib.image.imread(tmp_path / "tracks.png").shape[1] > 300


def test_a_folder_that_cannot_be_written_is_found_before_tracking(capsys, tmp_path, place, monkeypatch):
    monkeypatch.setattr("shd.fitting.track.track_field", None)
    ran = run_program(capsys, "track", place / "fod.nii.gz", "--out", tmp_path / "none" / "tracks.trx")
    assert ran.code == 2 and "cannot write in" in ran.err and "none (No such file" in " ".join(ran.err.split())


def test_fewer_than_asked_for_are_written_with_a_warning(capsys, tmp_path, place):
    options = ("--seed-count", 20, "--select", 30, "--out", tmp_path / "tracks.trx", "--algorithm", "deterministic")
    ran = run_program(capsys, "track", place / "fod.nii.gz", *options)
    assert ran.code == 0 and re.search(r"warning: \d+ of 30 streamlines found, from 20 seeds; give more", ran.err)


def test_streamlines_stay_in_the_mask(capsys, tmp_path, place):
    mask = region(tmp_path / "mask.nii.gz", (slice(4, 10), slice(3, 10), slice(3, 9)))
    options = ("--mask", mask, "--min-length", 2, "--seed-count", 100, "--out", tmp_path / "tracks.trx")
    assert run_program(capsys, "track", place / "fod.nii.gz", *options).code == 0
    inverse = np.linalg.inv(AFFINE)
    points = read_streamlines(tmp_path / "tracks.trx").points @ inverse[:3, :3].T + inverse[:3, 3]
    assert (points > np.array([3.5, 2.5, 2.5]) - 1e-3).all() and (points < np.array([9.5, 9.5, 8.5]) + 1e-3).all()


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("tckstats") is None, reason="MRtrix3 programs are not installed")
def test_mrtrix_agrees_about_lengths(capsys, tmp_path, place):
    options = ("--min-length", 12, "--max-length", 19, "--seed-count", 200, "--out", tmp_path / "tracks.tck")
    assert run_program(capsys, "track", place / "fod.nii.gz", *options).code == 0
    command = ["tckstats", tmp_path / "tracks.tck", "-output", "min", "-output", "max", "-quiet"]
    shortest, longest = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert shortest >= 12.0 - 1e-3 and longest <= 19.0 + 1e-3


def shifted():
    affine = AFFINE.copy()
    affine[1, 3] += 3.0
    return affine


REFUSED = {
    "another ending": (("--out", "{}/tracks.vtk"), "tracks.vtk: ends in .vtk; give .trx, .tck, .trk"),
    "no ending": (("--out", "{}/tracks"), "tracks: ends in nothing; give .trx"),
    "lengths": (("--min-length", 30, "--max-length", 20), "lengths from 30 to 20 mm"),
    "step": (("--step", 3), "a step of 3 mm: it must be above 0 and no larger than a voxel, 2 mm"),
    "algorithm": (("--algorithm", "ifod2"), "--algorithm ifod2: give one of deterministic, probabilistic, particle"),
    "cutoff above all": (("--cutoff", 9, "--seed-count", 10), "exceeds 9; the highest at the seeds is 3.58"),
    "nothing so long": (("--min-length", 200, "--seed-count", 10), "0 streamlines from 10 seeds, of 200 to 250 mm"),
    "two numbers of seeds": (("--seed-count", 9, "--seeds-per-voxel", 2), "2 seeds a voxel and 9 seeds in all"),
    "seeds of another size": (("--seeds", "{}/small.nii"), "small.nii is 7 × 13 × 12 voxels but the fODFs 14 × 13"),
    "seeds elsewhere": (("--seeds", "{}/shifted.nii"), "shifted.nii lies 3.00 mm away from the fODFs at a corner"),
    "empty seeds": (("--seeds", "{}/empty.nii"), "empty.nii: 0 of 2184 voxels are above 0.5"),
    "seeds outside": (("--seeds", "{}/corner.nii"), "0 of 1 seed voxels hold an fODF; give seeds inside its mask"),
    "mask of another size": (("--mask", "{}/small.nii"), "the mask {}/small.nii is 7 × 13 × 12 voxels"),
    "mask outside": (("--mask", "{}/corner.nii"), "0 of 2184 voxels hold an fODF"),
    "no seeds file": (("--seeds", "{}/none.nii"), "none.nii: no such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_line_and_leaves_nothing(capsys, tmp_path, place, case):
    region(tmp_path / "small.nii", shape=(7, 13, 12))
    region(tmp_path / "shifted.nii", affine=shifted())
    region(tmp_path / "empty.nii", (slice(0, 0),) * 3)
    region(tmp_path / "corner.nii", (0, 0, 0))
    options, says = REFUSED[case]
    before = everything_in(tmp_path)
    words = [str(word).format(tmp_path) for word in options]
    out = () if "--out" in words else ("--out", tmp_path / "tracks.trx")
    ran = run_program(capsys, "track", place / "fod.nii.gz", *out, *words)
    assert ran.code == 2 and "Traceback" not in ran.err
    assert ran.err.splitlines()[-1].startswith("error: ") and says.format(tmp_path) in ran.err
    assert everything_in(tmp_path) == before


def test_images_that_are_no_fods(capsys, tmp_path):
    write_fod(tmp_path / "gm.nii.gz", np.ones((4, 4, 4, 1), np.float32), AFFINE)
    ran = run_program(capsys, "track", tmp_path / "gm.nii.gz", "--out", tmp_path / "tracks.trx")
    assert ran.code == 2 and "1 coefficient a voxel has no direction" in ran.err
    write_fod(tmp_path / "zero.nii.gz", np.zeros((4, 4, 4, 45), np.float32), AFFINE)
    ran = run_program(capsys, "track", tmp_path / "zero.nii.gz", "--out", tmp_path / "tracks.trx")
    assert ran.code == 2 and "0 of 64 voxels hold an fODF" in ran.err


def test_a_picture_that_fails_leaves_no_tractogram(capsys, tmp_path, place, monkeypatch):
    def fail(path, **content):
        raise AssertionError("a bug")

    monkeypatch.setattr("shd.fitting.track.streamline_figure", fail)
    with pytest.raises(AssertionError, match="a bug"):
        run_program(capsys, "track", place / "fod.nii.gz", "--seed-count", 20, "--out", tmp_path / "tracks.trx")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_is_said_and_leaves_nothing(capsys, tmp_path, monkeypatch, place):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("shd.fitting.track.track", interrupted)
    ran = run_program(capsys, "track", place / "fod.nii.gz", "--out", tmp_path / "t.tck")
    assert ran.code == 130 and f"interrupted: nothing was written to {tmp_path / 't.tck'}" in ran.err
    assert everything_in(tmp_path) == {}
