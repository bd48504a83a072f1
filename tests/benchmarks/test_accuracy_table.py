"""The accuracy tables: cells that outlive a killed run, medians, gaps, and what is said of bad input."""

import csv
import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.accuracy_table import problems
from benchmarks.accuracy_table.cells import CEILING, Cell, CellStore, measure_ceiling, measure_method, scores_of
from benchmarks.accuracy_table.output import as_markdown, as_text, gap_lines
from benchmarks.accuracy_table.problems import PHANTOMS, PROTOCOLS, Family, Problem, white_matter_scan
from benchmarks.accuracy_table.rows import gaps_closed, rows_by_setting
from benchmarks.deconvolvers.methods import METHODS, OURS, MethodError
from benchmarks.deconvolvers.training import Budget
from shd.errors import OutputError
from shd.evaluation.assessment import assess_fods
from shd.evaluation.peak_scores import score_matches, scores_by_fibre_count
from shd.evaluation.phantom_scores import match_phantom
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.simulation import crossing_phantom

SCORES = {"f1": 0.9, "error": 4.0, "best_f1": 0.95, "best_error": 3.0, "success_2": float("nan")}


@pytest.fixture
def tiny(monkeypatch):
    """Make a phantom of a second, as one more name."""
    family = Family(
        lambda protocol, snr, seed: crossing_phantom(70.0, shape=(8, 8, 4), protocol=protocol, snr=snr, seed=seed), 0.1
    )
    monkeypatch.setitem(problems.PHANTOMS, "tiny", family)
    return ["--phantom", "tiny", "--protocol", "research", "--snr", "20"]


def table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def cell(method, seed=0, budget="", **scores):
    problem = Problem("tangle", "research", 20.0, seed)
    return Cell(method, problem, budget, {**SCORES, "best_threshold": 0.2, "auc": 0.9, **scores}, 1.5, f"run {method}")


def full_cell(method, seed=0, budget="", **scores):
    names = ("f1", "error", "success_2", "best_f1", "best_error", "best_success_2", "best_threshold", "auc")
    return cell(method, seed, budget, **(dict.fromkeys(names, 0.5) | scores))


def test_cells_survive_their_process(tmp_path):
    store, written = CellStore(tmp_path / "cells"), cell("dipy-csd")
    assert store.read("dipy-csd", written.problem, "") is None
    store.write(written)
    read = CellStore(tmp_path / "cells").read("dipy-csd", written.problem, "")
    assert {n: v for n, v in read.scores.items() if n != "success_2"} == {
        n: v for n, v in written.scores.items() if n != "success_2"
    }
    assert np.isnan(read.scores["success_2"])
    assert (read.seconds, read.command, read.version) == (written.seconds, written.command, written.version)


@pytest.mark.parametrize(
    "other",
    [("mrtrix-csd", 0, 20.0, ""), ("dipy-csd", 1, 20.0, ""), ("dipy-csd", 0, 30.0, ""), ("dipy-csd", 0, 20.0, "1 min")],
)
def test_every_part_of_a_cell_has_its_own_file(tmp_path, other):
    store = CellStore(tmp_path)
    store.write(cell("dipy-csd"))
    method, seed, snr, budget = other
    assert store.read(method, Problem("tangle", "research", snr, seed), budget) is None


def test_a_cell_that_is_no_cell_is_named(tmp_path):
    store = CellStore(tmp_path)
    store.write(cell("dipy-csd"))
    (path,) = tmp_path.iterdir()
    path.write_text("{}")
    with pytest.raises(OutputError, match=path.name):
        store.read("dipy-csd", cell("dipy-csd").problem, "")


def test_scores_are_those_of_the_evaluation():
    """Against the scores taken one by one at the thresholds."""
    phantom = crossing_phantom(60.0, shape=(10, 10, 6))
    field = METHODS["dipy-csd"].run(phantom.scan, phantom.responses, Budget(steps=1))
    scores, seconds = measure_method(METHODS["dipy-csd"], phantom, Budget(steps=1))
    assert seconds > 0
    for prefix, threshold in (("", 0.1), ("best_", scores["best_threshold"])):
        matches = match_phantom(field.wm, phantom, relative_threshold=threshold)
        every, two = score_matches(matches), scores_by_fibre_count(matches)[2]
        assert scores[f"{prefix}f1"] == pytest.approx(every.f1)
        assert scores[f"{prefix}error"] == pytest.approx(every.angular_error)
        assert scores[f"{prefix}success_2"] == pytest.approx(two.success_rate)
        assert scores[f"{prefix}error_2"] == pytest.approx(two.angular_error)
        assert scores[f"{prefix}both_2"] == pytest.approx(two.both_fibres_found)
    ceiling, _ = measure_ceiling(phantom)
    assert ceiling["f1"] > scores["f1"]
    assert ceiling["error"] < scores["error"]


def test_without_crossings_their_scores_are_absent():
    phantom = crossing_phantom(60.0, shape=(10, 10, 6))
    truth = Truth.of(phantom)
    alone = replace(truth, mask=truth.mask & (truth.fractions[..., 1] == 0))
    field = FodField(truth.ceiling(), {}, truth.affine, truth.mask)
    scores = scores_of(assess_fods("truth", field, alone))
    assert np.isnan(scores["success_2"])
    assert np.isnan(scores["best_both_2"])
    assert scores["f1"] > 0.9


def test_voxelwise_methods_get_the_voxels_that_are_scored():
    phantom = crossing_phantom(60.0, shape=(10, 10, 6))
    cut = white_matter_scan(phantom)
    assert Truth.of(phantom).scored[~cut.mask].sum() == 0
    assert 0 < cut.mask.sum() < phantom.scan.mask.sum()


def test_rows_are_medians_over_seeds_in_the_order_of_the_methods():
    values = {0: 0.7, 1: 0.9, 2: 0.8}
    cells = [cell(OURS, s, "1 min", f1=v) for s, v in values.items()] + [cell("dipy-csd"), cell(CEILING)]
    (rows,) = rows_by_setting(cells).values()
    assert [row.method for row in rows] == [CEILING, "dipy-csd", OURS]
    assert rows[2].scores["f1"] == 0.8
    assert rows[2].spread["f1"] == (0.7, 0.9)
    assert rows[2].seeds == (0, 1, 2)


def test_gaps_closed_are_against_the_best_of_each_score():
    cells = [
        cell(CEILING, f1=1.0, error=1.0, best_f1=1.0, best_error=1.0),
        cell("dipy-csd", f1=0.9, error=6.0, best_f1=0.9, best_error=5.0),
        cell("rumba-tv", f1=0.8, error=5.0, best_f1=0.95, best_error=6.0),
        cell("cnn-tv", f1=0.96, error=3.0, best_f1=0.99, best_error=2.0),
        cell(OURS, f1=0.98, error=2.0, best_f1=0.975, best_error=1.0),
    ]
    (rows,) = rows_by_setting(cells).values()
    untrained = {gap.score: gap for gap in gaps_closed(rows, trained_rivals=False)}
    assert {score: gap.rival for score, gap in untrained.items()} == {
        "f1": "dipy-csd", "error": "rumba-tv", "best_f1": "rumba-tv", "best_error": "dipy-csd"
    }  # fmt: skip
    expected = {"f1": 0.8, "error": 0.75, "best_f1": 0.5, "best_error": 1.0}
    assert {score: gap.share for score, gap in untrained.items()} == pytest.approx(expected)
    against_all = {gap.score: gap.share for gap in gaps_closed(rows, trained_rivals=True)}
    assert against_all == pytest.approx({"f1": 0.5, "error": 0.5, "best_f1": -1.5, "best_error": 1.0})
    first, second = gap_lines(rows)
    assert "F1 from 0.1 80 % (dipy-csd 0.900 → 0.980 → 1.000)" in first
    assert "F1 at the best threshold -150 % (cnn-tv 0.990 → 0.975 → 1.000)" in second


def test_there_is_no_gap_where_a_rival_is_at_the_ceiling_or_a_row_is_missing():
    for rival in (0.91, 0.9, 0.896):
        cells = [cell(CEILING, f1=0.9), cell("dipy-csd", f1=rival), cell(OURS, f1=0.95)]
        (rows,) = rows_by_setting(cells).values()
        assert np.isnan(gaps_closed(rows, trained_rivals=False)[0].share)
    assert "F1 from 0.1 – (dipy-csd 0.896 → 0.950 → 0.900)" in gap_lines(rows)[0]
    for missing in range(3):
        assert gaps_closed([row for place, row in enumerate(rows) if place != missing], trained_rivals=True) == []


def test_tables_hold_every_number_once():
    tables = rows_by_setting([full_cell(CEILING), full_cell("dipy-csd", f1=0.123, error=7.6, success_2=np.nan)])
    (rows,) = tables.values()
    line = as_text(rows).splitlines()[2]
    assert line.split("  ")[0] == "CSD (DIPY, degree 8)"
    assert "0.123" in line and "7.6°" in line and "–" in line
    text = as_markdown(tables)
    assert "| CSD (DIPY, degree 8) | 0.123 | 7.6° | – |" in text
    assert "    run dipy-csd" in text
    assert text.count("## tangle, research, SNR 20") == 1


def test_a_run_writes_tables_and_figure_and_goes_on_where_it_was(tiny, tmp_path, capsys, monkeypatch):
    options = [*tiny, "--seeds", "2", "--methods", "dipy-csd,shd-fit", "--steps", "1", "--out", str(tmp_path / "out")]
    accuracy.main(options)
    said = capsys.readouterr().out
    assert "seed 1 (2 of 2)" in said
    assert "wrote" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"accuracy.md", "accuracy.csv", "accuracy.json", "accuracy.png", "cells"}
    rows = table(tmp_path / "out/accuracy.csv")
    assert [(row["method"], row["seed"]) for row in rows] == [
        (key, seed) for seed in "01" for key in (CEILING, "dipy-csd", "shd-fit")
    ]
    record = json.loads((tmp_path / "out/accuracy.json").read_text())["tiny, research, SNR 20"]
    assert [row["method"] for row in record["rows"]] == [CEILING, "dipy-csd", "shd-fit"]
    median = np.median([float(row["f1"]) for row in rows if row["method"] == "shd-fit"])
    assert record["rows"][2]["median"]["f1"] == pytest.approx(median, rel=1e-6)
    assert matplotlib.image.imread(tmp_path / "out/accuracy.png").std() > 0.01

    # killed before the last cell: that one alone is made again, and the tables are the same
    (tmp_path / "out/cells/tiny_research_snr20_seed1_shd-fit_1steps.json").unlink()
    made = []
    monkeypatch.setattr(accuracy, "measure_method", lambda m, p, b: made.append(m.name) or measure_method(m, p, b))
    accuracy.main(options)
    assert made == ["shd (ours)"]
    again = table(tmp_path / "out/accuracy.csv")
    assert [{**row, "seconds": ""} for row in again] == [{**row, "seconds": ""} for row in rows]
    accuracy.main([*options, "--again", "dipy-csd"])
    assert made == ["shd (ours)", *["CSD (DIPY, degree 8)"] * 2]


def test_the_command_of_a_row_makes_that_row(tiny, tmp_path, capsys):
    accuracy.main([*tiny, "--seeds", "1", "--methods", "shd-fit", "--steps", "1", "--out", str(tmp_path / "a")])
    (row,) = [r for r in table(tmp_path / "a/accuracy.csv") if r["method"] == "shd-fit"]
    words = row["command"].split()
    assert words[:4] == ["python", "-m", "benchmarks", "accuracy"]
    accuracy.main([*words[4:], "--out", str(tmp_path / "b")])
    (same,) = [r for r in table(tmp_path / "b/accuracy.csv") if r["method"] == "shd-fit"]
    assert {**same, "seconds": ""} == {**row, "seconds": ""}


def test_a_method_that_fails_does_not_end_the_others(tiny, tmp_path, capsys, monkeypatch):
    def fails(method, phantom, budget):
        if method is METHODS["dipy-csd"]:
            raise MethodError("no luck")
        return measure_method(method, phantom, budget)

    monkeypatch.setattr(accuracy, "measure_method", fails)
    with pytest.raises(SystemExit) as ended:
        accuracy.main([*tiny, "--seeds", "1", "--methods", "dipy-csd,dipy-csd-12", "--out", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "failed: dipy-csd, tiny, research, SNR 20, seed 0: no luck" in said.out
    assert "1 of 3 cells failed" in said.err
    rows = table(tmp_path / "accuracy.csv")
    assert [row["method"] for row in rows] == [CEILING, "dipy-csd-12"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "dipy-csd,magic"], "no method magic; there are: dipy-csd"),
        (["--again", "magic"], "no method magic"),
        (["--phantom", "cube"], "no phantom cube; there are: tangle"),
        (["--protocol", "fast"], "no protocol fast; there are: research"),
        (["--snr", "20,0"], "SNR 0: give one above 0"),
        (["--snr", "high"], "--snr high: not a number"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--minutes", "-1"], "--minutes -1: training needs more than 0"),
        (["--steps", "0"], "--steps 0: training needs at least 1"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        accuracy.main([*options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        accuracy.main(["--out", str(tmp_path / "file")])
    assert "give another --out" in capsys.readouterr().err


def test_both_sets_name_what_there_is():
    for chosen in accuracy.SETS.values():
        assert set(chosen.methods) <= set(METHODS)
        assert OURS in chosen.methods
        assert set(chosen.phantoms) <= set(PHANTOMS)
        assert set(chosen.protocols) <= set(PROTOCOLS)
