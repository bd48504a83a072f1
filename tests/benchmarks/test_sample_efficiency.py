"""Networks trained with truth on few boxes: what they learn from, what they are tested on, and that a run goes on."""

import json
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from benchmarks import sample_efficiency
from benchmarks.accuracy_table import problems
from benchmarks.accuracy_table.cells import CEILING
from benchmarks.accuracy_table.problems import Family
from benchmarks.learning_study import boxes, cells
from benchmarks.learning_study.boxes import (
    ANY,
    FLAT,
    FlatExamples,
    VoxelAxes,
    drawn,
    flat_tangle,
    unseen_scan,
    validated,
)
from benchmarks.learning_study.cells import METHODS, UNTRAINED, Training
from benchmarks.learning_study.tables import Row, as_markdown, costs
from shd.simulation import crossing_phantom
from shd.simulation.centreline import trace
from shd.sphere.rotations import grid_rotation, random_rotation, rotate_harmonics
from shd.training.examples import SimulatedExamples, example_of


@pytest.fixture
def small(monkeypatch):
    """Make small boxes, and a phantom of a second, stand for those of the study."""
    monkeypatch.setattr(boxes, "SIDE", 6)
    monkeypatch.setattr(boxes, "TILE", 4)
    monkeypatch.setattr(boxes, "VALIDATED", 1)
    for name, few in (("SEARCH_COUNT", 1), ("FLAT_COUNT", 1), ("RATES", (1e-3, 3e-3))):
        monkeypatch.setattr(sample_efficiency, name, few)
    flat = boxes.FlatExamples
    monkeypatch.setattr(boxes, "FlatExamples", lambda seed: flat(seed, 6))
    made = {}

    def make(protocol, snr, seed):
        if (protocol.name, seed) not in made:
            made[protocol.name, seed] = crossing_phantom(70.0, shape=(6, 6, 4), protocol=protocol, snr=snr, seed=seed)
        return made[protocol.name, seed]

    monkeypatch.setitem(problems.PHANTOMS, "tiny", Family(make, 0.1))
    whole = sample_efficiency.unseen_scan
    monkeypatch.setattr(  # a flat tangle takes seconds
        sample_efficiency, "unseen_scan", lambda on, name, *rest: whole(ANY, "clinical" if on == FLAT else name, *rest)
    )
    return ["--phantom", "tiny", "--protocol", "clinical", "--counts", "1,2", "--seeds", "1", "--steps", "2"]


def test_in_voxel_axes_an_oblique_scan_is_an_upright_one():
    """The same phantom measured upright, and turned together with its gradients, is one example by both ways."""
    rotation = random_rotation(np.random.default_rng(3))
    phantom = crossing_phantom(50.0, shape=(4, 3, 3))
    upright = example_of(phantom, phantom.responses)
    scan, affine = upright.scan, upright.scan.affine.copy()
    affine[:3] = rotation @ affine[:3]
    gradients = replace(scan.gradients, directions=scan.gradients.directions @ rotation.T)
    truth = replace(upright.truth, fods=rotate_harmonics(upright.truth.fods, rotation, 12))
    oblique = replace(upright, scan=replace(scan, affine=affine, gradients=gradients), truth=truth)
    back = VoxelAxes([oblique])[0]
    np.testing.assert_allclose(back.scan.affine, scan.affine, atol=1e-12)
    np.testing.assert_allclose(back.scan.gradients.directions, scan.gradients.directions, atol=1e-12)
    np.testing.assert_allclose(back.truth.fods, upright.truth.fods, atol=1e-4)
    assert np.array_equal(back.scan.signal, scan.signal)


def test_random_scans_are_oblique_and_become_upright():
    example = SimulatedExamples(4, 6)[0]
    assert np.abs(grid_rotation(example.scan.affine) - np.eye(3)).max() > 0.1
    turned = VoxelAxes([example])[0]
    np.testing.assert_allclose(grid_rotation(turned.scan.affine), np.eye(3), atol=1e-9)


def test_flat_tangles_lie_in_one_plane_and_turned_ones_in_another():
    upright, turned = (flat_tangle(3, turned=value) for value in (False, True))
    tangents = np.concatenate([trace(bundle).tangents for bundle in upright.bundles])
    mean = np.sqrt(np.mean(tangents**2, axis=0))
    assert mean[0] < 0.5 < min(mean[1], mean[2])
    for before, after in zip(upright.bundles, turned.bundles, strict=True):
        assert np.array_equal(np.roll(before.control_points, 1, axis=1), after.control_points)
    for before, after in zip(upright.regions, turned.regions, strict=True):
        assert np.array_equal(np.roll(before.centre, 1), after.centre)


def test_flat_boxes_are_upright_and_depend_on_seed_and_number():
    first, again, other = (FlatExamples(2, 6)[number] for number in (0, 0, 1))
    assert np.array_equal(first.scan.signal, again.scan.signal)
    assert first.scan.signal.shape != other.scan.signal.shape or not np.array_equal(
        first.scan.signal, other.scan.signal
    )
    assert np.array_equal(grid_rotation(first.scan.affine), np.eye(3))


def test_boxes_of_fewer_are_among_those_of_more_and_none_of_the_validation(small, tmp_path):
    few, many = ({len(e.scan.b0) for e in all_of(drawn(tmp_path, ANY, 0, count))} for count in (1, 2))
    assert few <= many
    assert len(validated(tmp_path, ANY)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"any-0", f"any-{1 << 20}"}
    assert Training(tmp_path, ANY, 0, 2, 1).voxels <= 2 * 6**3


def all_of(series):
    return [series.examples[number] for number in range(len(series.examples))]


def test_before_the_first_step_every_network_is_the_estimate(small, tmp_path):
    tests = {"clinical": unseen_scan(ANY, "clinical", 0, "tiny", 20.0)}
    estimate = cells.measure_untrained(UNTRAINED, tests)["scores"]["clinical"]
    # a rate of nothing changes nothing, whatever the network
    for key in ("mlp", "ponita", "shd"):
        found = cells.measure(key, Training(tmp_path, ANY, 0, 1, 1), 1e-12, tests)["scores"]["clinical"]
        assert found == pytest.approx(estimate, rel=1e-3, abs=1e-3)


def test_steps_are_equal_but_where_a_row_says_time(small, tmp_path):
    courses = {key: Training(tmp_path, ANY, 0, 1, 7).run(METHODS[key], 1e-3) for key in ("ponita", "cnn")}
    assert {key: course.steps_done for key, course in courses.items()} == {"ponita": 1, "cnn": 7}
    losses = [row["held_out"] for row in courses["cnn"].history]
    assert courses["cnn"].best_loss == min(losses)  # the untrained network's among them
    assert len(losses) == 5


def test_a_run_writes_tables_and_picture_and_goes_on_where_it_was(small, tmp_path, capsys, monkeypatch):
    options = [*small, "--methods", "shd,cnn", "--out", str(tmp_path)]
    sample_efficiency.main([*options, "--stop-after", "0"])
    assert "stopped; the same command goes on" in capsys.readouterr().out
    sample_efficiency.main(options)
    said = capsys.readouterr().out
    assert said.count("learning rate") == 2 * len(sample_efficiency.RATES) + 1  # and the table's title
    table = said[said.index("tested: tiny, clinical") :].splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table[3:9]] == [
        "estimate (untrained)", "shd (ours)", "shd (ours)", "CNN", "CNN", "ceiling"
    ]  # fmt: skip
    assert "trained on flat scans, tested turned" in said
    names = sorted(path.name for path in (tmp_path / "cells").iterdir())
    assert len(names) == 2 * 2 + 2 * 2 + 2 * 1 + 2 * len(sample_efficiency.RATES)
    cell = json.loads((tmp_path / "cells" / "any_shd_tiny_clinical_snr20_seed0_2boxes_2steps.json").read_text())
    assert cell["steps"] == 2
    assert cell["rate"] in sample_efficiency.RATES
    assert matplotlib.image.imread(tmp_path / "sample_efficiency.png").std() > 0.01
    monkeypatch.setattr(sample_efficiency, "measure", lambda *_: pytest.fail("computed again"))
    sample_efficiency.main(options)
    assert capsys.readouterr().out == said[said.index("\ntested: tiny") :]


def test_tables_show_means_and_the_range_of_the_seeds():
    def cell(f1, seconds):
        scores = {"f1": f1, "error": 2.0, "success_2": 0.5, "correlation": 0.9}
        more = {"voxels": 100, "steps": 5, "seconds": seconds, "rate": 1e-3, "parameters": 12345, "held_out": 0.25}
        return {"scores": {"clinical": scores}, **more}

    rows = [Row("cnn", 4, [cell(0.5, 1.0)]), Row("cnn", 8, [cell(0.8, 10.0), cell(0.9, 30.0)])]
    text = as_markdown(rows, "clinical")
    assert "| CNN | 8 | 100 | 2 | 0.850 (0.800–0.900) | 2.00 (2.00–2.00) |" in text
    assert "| CNN | 4 | 100 | 1 | 0.500 | 2.00 | 0.500 | 0.900 |" in text
    # what the trainings on the most boxes took
    assert costs(rows).splitlines()[2:] == ["| CNN | 12,345 | 0.001 | 5 | 20 | 0.250 |"]
    ceiling = as_markdown([Row(CEILING, 0, [{"scores": cell(1.0, 0.0)["scores"]}])], "clinical")
    assert "| ceiling | – | – | 1 | 1.000 |" in ceiling


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "shd,magic"], "no method magic; there are: mlp"),
        (["--counts", "2,many"], "--counts 2,many: whole numbers"),
        (["--counts", "0"], "--counts [0]: each at least 1"),
        (["--steps", "0"], "--steps 0"),
        (["--phantom", "cube"], "no phantom cube"),
        (["--protocol", "fast"], "no protocol fast"),
        (["--snr", "0"], "SNR 0"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        sample_efficiency.main([*options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
