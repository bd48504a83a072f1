"""Real scans, what is kept, and what rows are called: what is scored, and what is said of bad input."""

import json

import numpy as np
import pytest

from benchmarks import held_out
from benchmarks.accuracy_table.kept import kept
from benchmarks.deconvolvers.free_diffusion import with_free_diffusion
from benchmarks.deconvolvers.methods import METHODS, OURS, network_of
from benchmarks.deconvolvers.training import PUBLISHED, PUBLISHED_TV, Budget
from shd.errors import OutputError, ShdWarning
from shd.simulation import crossing_phantom, single_bundle


def test_networks_by_the_keys_of_their_rows():
    assert network_of("rt-esd-tv") == ("rt-esd", PUBLISHED_TV)
    assert network_of("rt-esd") == ("rt-esd", PUBLISHED)
    assert network_of("shd-tv") == ("shd", PUBLISHED_TV)
    assert network_of(OURS) == ("shd", None)


def test_free_diffusion_stands_in_for_what_is_missing_alone():
    phantom = single_bundle(np.array([1.0, 0, 0]), np.eye(4), shape=(1, 1, 1))
    wm, gm, csf = phantom.responses
    filled = with_free_diffusion((wm,), ("gm", "csf"))
    assert [response.tissue for response in filled] == ["wm", "gm", "csf"]
    # the simulated tissues have just these diffusivities
    np.testing.assert_allclose(filled[1].coefficients, gm.coefficients, rtol=1e-12)
    np.testing.assert_allclose(filled[2].coefficients, csf.coefficients, rtol=1e-12)
    assert with_free_diffusion((wm, csf), ("csf",)) == (wm, csf)


@pytest.fixture
def subject(monkeypatch):
    """Make a small scan stand for the one in the dipy package."""
    phantom = crossing_phantom(60.0, shape=(6, 6, 3))
    chosen = held_out.Subject("small", phantom.scan, phantom.responses)
    monkeypatch.setattr(held_out, "read_subject", lambda image: chosen)
    return chosen


def test_held_out_end_to_end(subject, tmp_path, capsys, monkeypatch):
    options = ["--methods", "dipy-csd,shd-fit", "--folds", "2", "--steps", "1", "--out", str(tmp_path)]
    held_out.main(options)
    said = capsys.readouterr().out
    lines = (tmp_path / "held_out.md").read_text().splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["CSD (DIPY, degree 8)", "shd (ours)"]
    first, second = (
        json.loads((tmp_path / "cells" / name).read_text())
        for name in ("small_dipy-csd_2folds.json", "small_shd-fit_2folds_seed0_1steps.json")
    )
    assert lines[2].split(" | ")[4] == f"{second['relative'] / first['relative']:.3f}"
    assert lines[3].split(" | ")[4] == "1.000"
    monkeypatch.setattr(held_out, "measure", lambda *_: pytest.fail("computed again"))
    held_out.main(options)
    assert capsys.readouterr().out == said


def test_the_dense_answer_of_rumba_predicts_and_the_smooth_one_has_peaks(subject):
    """With smoothing its prediction loses its sharpness, which is why it is left out."""
    as_it_is = held_out.predicting("rumba-sd", METHODS["rumba-sd"])
    fods = [run(subject.scan, subject.responses, Budget(steps=1)) for run in (as_it_is, METHODS["rumba-sd"].run)]
    power = [float(np.square(fod.wm).sum()) for fod in fods]
    assert power[0] > 1.2 * power[1]
    assert held_out.predicting("dipy-csd", METHODS["dipy-csd"]) is METHODS["dipy-csd"].run


@pytest.mark.slow
def test_the_scan_in_the_dipy_package():
    with pytest.warns(ShdWarning, match="no mask was given"):
        chosen = held_out.read_subject(None)
    assert chosen.scan.shape == (10, 10, 10)
    assert [response.tissue for response in chosen.responses] == ["wm"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "magic"], "no method magic"),
        (["--minutes", "0"], "--minutes 0: training needs more than 0"),
        (["--steps", "0"], "--steps 0: training needs at least 1"),
        (["--scan", "nowhere.nii.gz"], "nowhere.nii.gz"),
    ],
)
def test_bad_input_of_held_out(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        held_out.main([*options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_are_kept_and_broken_ones_named(tmp_path):
    made = []
    path = tmp_path / "deep" / "result.json"
    for _ in range(2):
        assert kept(path, lambda: made.append(1) or {"a": 1.5}) == {"a": 1.5}
    assert made == [1]
    path.write_text("{")
    with pytest.raises(OutputError, match=r"result\.json"):
        kept(path, dict)
    with pytest.raises(OutputError, match="give another --out"):
        kept(path / "below" / "file.json", dict)
