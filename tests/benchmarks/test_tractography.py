"""The tractography benchmarks: rows for every method and tracker, kept, and none lost where nothing is found."""

import shutil

import matplotlib.image
import numpy as np
import pytest

from benchmarks import trackers, tractography
from benchmarks.accuracy_table.problems import PHANTOMS, Family
from shd.simulation import crossing_phantom


@pytest.fixture
def small_problem(monkeypatch):
    def make(protocol, snr, seed):
        return crossing_phantom(60.0, shape=(16, 16, 9), protocol=protocol, snr=snr, seed=seed)

    monkeypatch.setitem(PHANTOMS, "little", Family(make, 0.1))
    monkeypatch.setattr(tractography, "RIVALS", {"clinical": ("dipy-csd",)})
    monkeypatch.setattr(tractography, "CUTOFFS", (0.1, 0.4))


def words(out, *more):
    given = ("--phantom", "little", "--protocol", "clinical", "--seeds", "60", "--model", "shd-estimate")
    return [*given, "--out", str(out), *more]


def test_a_table_has_every_row_and_is_kept(tmp_path, small_problem, capsys, monkeypatch):
    tractography.main(words(tmp_path, "--trackers", "deterministic", "particle", "--picture"))
    text = (tmp_path / "little_clinical_snr20_seed1.md").read_text()
    assert text in capsys.readouterr().out
    rows = text.splitlines()[2:]
    assert sum(row.startswith("| deterministic | truth | 0.1 |") for row in rows) == 1
    assert sum(row.startswith("| particle | CSD (DIPY, degree 8) |") for row in rows) == 2
    assert sum("(best)" in row for row in rows) == 4
    assert matplotlib.image.imread(tmp_path / "little_clinical_snr20_seed1.png").shape[1] > 900
    monkeypatch.setattr(tractography, "measure", None)  # everything is read back
    tractography.main(words(tmp_path, "--trackers", "deterministic", "particle"))
    assert (tmp_path / "little_clinical_snr20_seed1.md").read_text() == text


def test_a_tracker_that_finds_nothing_scores_zero(tmp_path, small_problem, monkeypatch):
    monkeypatch.setattr(tractography, "LENGTHS", (240.0, 250.0))
    tractography.main(words(tmp_path, "--trackers", "deterministic"))
    rows = (tmp_path / "little_clinical_snr20_seed1.csv").read_text().splitlines()
    assert len(rows) == 6
    record = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert (record["streamlines"], record["valid"], record["none"]) == ("0", "0.0", "1.0")


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("tckgen") is None, reason="MRtrix3 programs are not installed")
def test_tckgen_tracks_the_truth(tmp_path, small_problem):
    inputs = tractography.Inputs(tractography.Problem("little", "clinical", 20.0, 1), tmp_path)
    row = tractography.measure(inputs, tractography.TRUTH, "SD_STREAM", 0.1, 60)
    assert row["bundles"] == row["of_bundles"] == 2


def test_options_that_cannot_be(tmp_path, capsys):
    for given, says in ((["--seeds", "0"], "--seeds 0"), (["--model", "none"], "no method none")):
        with pytest.raises(SystemExit) as end:
            tractography.main([*given, "--out", str(tmp_path)])
        assert end.value.code == 2 and says in capsys.readouterr().err


def test_trackers_table_and_brain(capsys, monkeypatch):
    monkeypatch.setattr(trackers, "DIPY_DIRECTIONS", (40,))
    monkeypatch.setattr(trackers, "SIDE", 20)
    monkeypatch.setattr(trackers, "BRAIN", (20, 21, 22))
    trackers.main(["--seeds", "5"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    errors = np.array([float(row[2]) for row in rows])
    assert errors[0] < 0.01 and errors[-1] > 1.0
    trackers.main(["--brain"])
    assert "voxels in the mask" in capsys.readouterr().out
