"""The study of lesion segmentation: cells that are kept, tables, margins, figure and options."""

import json

import pytest

from benchmarks import segmentation
from benchmarks.segmentation_study import cells, scans
from benchmarks.segmentation_study.tables import Row, as_markdown, margins

SMALL = {"pq_channels": ((2, 1),), "p_channels": ((3, 2),)}


@pytest.fixture
def quick(monkeypatch):
    """Heads of a few hundred voxels, two to test on, networks of a few weights."""
    monkeypatch.setattr(scans, "VOXEL_MM", 7.0)
    monkeypatch.setattr(scans, "TRAINED", 2)
    monkeypatch.setattr(scans, "VALIDATED", 1)
    monkeypatch.setattr(scans, "TESTED", 2)
    monkeypatch.setattr(scans, "LESIONS", 8)
    for key in ("equivariant", "cnn"):
        method = cells.METHODS[key]
        changed = cells.Method(method.name, {"kind": key} | SMALL, method.times, method.learning_rate)
        monkeypatch.setitem(cells.METHODS, key, changed)


def test_a_study_end_to_end_is_not_made_twice(quick, tmp_path, capsys):
    words = "--methods equivariant,cnn --counts 1,2 --seeds 1 --steps 2 --out"
    options = [*words.split(), str(tmp_path)]
    segmentation.main([*options, "--stop-after", "0"])
    assert "stopped" in capsys.readouterr().out and not list(tmp_path.glob("cells/*"))
    segmentation.main(options)
    said = capsys.readouterr().out
    assert said.count("seed 0, ") == len(list(tmp_path.glob("cells/*"))) == 6
    assert "trained and tested rotated, 1 seeds" in said and "trained upright, tested rotated" in said
    assert "2 scans, over CNN, equal parameters and steps: AUC" in said
    picture = tmp_path / "segmentation.png"
    assert picture.stat().st_size > 20_000
    picture.unlink()
    segmentation.main(options)
    assert "seed 0, " not in capsys.readouterr().out and picture.is_file()
    cell = json.loads((tmp_path / "cells" / "upright_cnn_2scans_seed0_2steps.json").read_text())
    assert set(cell["scores"]) == {"upright", "rotated"} and cell["steps"] == 2 and cell["parameters"] > 100


def row(method, *values):
    found = [dict.fromkeys(cells.SCORES, value) for value in values]
    shared = {"steps": 2, "seconds": 1.0, "parameters": 3}
    return Row(method, "rotated", "rotated", 4, [{"scores": {"rotated": scores}, **shared} for scores in found])


def test_tables_show_means_with_ranges_and_margins_of_the_means():
    rows = [row("equivariant", 0.5, 0.7), row("cnn", 0.4, 0.4)]
    lines = as_markdown(rows).splitlines()
    assert len(lines) == 4 and "| equivariant | 4 | 0.600 (0.500–0.700) |" in lines[2]
    assert margins(rows) == [
        "4 scans, over CNN, equal parameters and steps: AUC +50 %, average precision +50 %, Dice +50 %"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "unet"], "method 'unet': there are equivariant, cnn"),
        (["--counts", "4,many"], "--counts 4,many: whole numbers"),
        (["--counts", "400"], "counts to 16"),
        (["--seeds", "0"], "--seeds 0"),
    ],
)
def test_options_that_cannot_be_are_one_line(capsys, options, message):
    with pytest.raises(SystemExit) as end:
        segmentation.main(options)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_the_cnn_has_about_as_many_parameters():
    import numpy as np

    from shd.io.segmenters import network_for
    from shd.models.pq.config import SegmentationConfig
    from shd.scans.q_table import QTable
    from shd.scans.voxels import Voxels
    from shd.simulation.protocols import protocol_gradients

    gradients = protocol_gradients(scans.PROTOCOL)
    table = QTable(gradients.bvalues, gradients.directions, Voxels((2.5, 2.5, 2.5), True))
    counts = {}
    for key in ("equivariant", "cnn", "cnn-time"):
        network = network_for(SegmentationConfig(classes=2, **cells.METHODS[key].network), table)
        counts[key] = sum(weight.numel() for weight in network.parameters())
    assert counts["cnn"] == counts["cnn-time"]
    assert np.isclose(counts["cnn"], counts["equivariant"], rtol=0.2)
