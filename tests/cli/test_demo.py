"""`shd demo` from the outside, on small volumes and with next to no training."""

import json
from dataclasses import replace
from functools import partial

import nibabel
import numpy as np
import pytest
from rich.console import Console

from shd.cli import main
from shd.cli.demo import score_table
from shd.fitting import demo

HUMAN_FILES = {"wm_fod.nii.gz", "wm_fod.json", "peaks.nii.gz", "response_wm.txt", "model.safetensors", "run.json"}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the program on small volumes; return exit code, stdout and stderr."""
    scan = demo.human_scan()
    crop = replace(scan, data=scan.data[:6, :6, :4], mask=scan.mask[:6, :6, :4])
    monkeypatch.setattr(demo, "human_scan", lambda: crop)
    monkeypatch.setattr(demo, "crossing_trial", partial(demo.crossing_trial, shape=(8, 8, 6)))

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main.run(arguments)
        return end.value.code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_it_writes_the_human_fit_the_picture_and_the_scores_and_says_where_to_look(run, tmp_path):
    out = tmp_path / "demo"
    code, said, _ = run("demo", "--out", str(out), "--minutes", "0.001")
    assert code == 0
    written = {path.name for path in out.iterdir()}
    assert written >= HUMAN_FILES | {"fit.png", "demo.png", "scores.json"}
    assert nibabel.load(out / "wm_fod.nii.gz").shape == (6, 6, 4, 91)
    assert "60° crossing" in said and "45° crossing" in said
    assert str(out / "demo.png") in said and str(out / "fit.png") in said
    scores = json.loads((out / "scores.json").read_text())
    assert {(row["crossing"], row["peak_threshold"], row["method"]) for row in scores["scores"]} == {
        (crossing, threshold, method)
        for crossing in ("60°", "45°")
        for threshold in (0.1, 0.2)
        for method in ("truth", "CSD", "shd")
    }
    assert [fit["crossing"] for fit in scores["fits"]] == ["60°", "45°"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_holds_files_is_refused_before_any_work(run, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "human_scan", lambda: pytest.fail("it began"))
    (tmp_path / "mine.txt").touch()
    code, said, complaint = run("demo", "--out", str(tmp_path))
    assert (code, said) == (2, "")
    assert "mine.txt" in complaint and "give another --out" in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_interrupted_it_leaves_nothing(run, tmp_path, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "human_scan", interrupt)
    code, _, _ = run("demo", "--out", str(tmp_path / "demo"))
    assert code == 130
    assert list(tmp_path.iterdir()) == []


def test_no_training_at_all_is_refused(run, tmp_path):
    code, _, complaint = run("demo", "--out", str(tmp_path / "demo"), "--minutes", "0")
    assert code == 2 and "--minutes" in complaint
    assert list(tmp_path.iterdir()) == []


def test_the_better_number_is_bold_the_truth_never_and_the_table_fits_a_terminal():
    better = dict.fromkeys(("angular_error", "both_fibres_found", "success_rate", "f1"), 0.25)
    worse = better | {"angular_error": 0.75, "f1": 0.125}
    rows = [
        {"crossing": "60°", "peak_threshold": 0.1, "method": name, "two_fibre_voxels": part, "all_voxels": part}
        for name, part in (("truth", dict.fromkeys(better, 0.0)), ("CSD", worse), ("shd", better))
    ]
    table = score_table(rows)
    cells = np.array([list(column.cells) for column in table.columns]).T
    assert cells[0, 2:].tolist() == ["0.0°", "0.00", "0.00", "0.00", "0.0°", "0.00", "0.00"]
    bold, plain = "[bold]0.25[/bold]", "0.12"
    assert cells[1, 2:].tolist() == ["0.8°", bold, bold, plain, "0.8°", bold, plain]
    assert cells[2, 2:].tolist() == ["[bold]0.2°[/bold]", bold, bold, bold, "[bold]0.2°[/bold]", bold, bold]
    console = Console(width=80, record=True)
    with console.capture():
        console.print(table)
    assert "…" not in console.export_text()
