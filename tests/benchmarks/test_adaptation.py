"""A network before and after adaptation: what each row computes, and what it is held against."""

import json

import numpy as np
import pytest

from benchmarks import adaptation
from benchmarks.adaptation import NOTHING, Case, Start
from benchmarks.held_out import Subject
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import Protocol
from shd.sphere.harmonics import even_harmonics, gaussian_factors

SMALL = Protocol("small", 2, ((1500.0, 30),))


def bundle_towards(axis):
    """Return what answers every scan with one bundle of this direction."""
    direction = np.asarray(axis, dtype=np.float64)[None] / np.linalg.norm(axis)
    coefficients = (even_harmonics(direction, 8) * gaussian_factors(8, 5.0))[0].astype(np.float32)

    def fods(scan, responses):
        return FodField(np.where(scan.mask[..., None], coefficients, np.float32(0)), {}, scan.affine, scan.mask)

    return fods


@pytest.fixture
def answers(monkeypatch):
    """Let every start answer by a function of its own: Start → (scan, responses) → fODFs."""
    by_start = {}
    monkeypatch.setattr(Start, "fods", lambda self, scan, responses: by_start[self](scan, responses))
    return by_start


def test_peaks_are_held_against_those_of_the_fit(answers):
    """A bundle turned by 10° is 10° away and predicts worse; the fit itself is at 0°."""
    turned = np.radians(10.0)
    fit, other = Start(NOTHING, 1.0), Start("base", 0.0)
    answers[fit] = bundle_towards([1.0, 0.0, 0.0])
    answers[other] = bundle_towards([np.cos(turned), np.sin(turned), 0.0])
    phantom = single_bundle(np.array([1.0, 0.0, 0.0]), np.eye(4), shape=(4, 3, 3), protocol=SMALL, snr=50.0)
    case = Case(Subject("bundle", phantom.scan, phantom.responses[:1]), fit, folds=3)
    own, against = case.measure(fit), case.measure(other)
    assert own["main_angle"] == pytest.approx(0.0, abs=0.05)
    assert against["main_angle"] == pytest.approx(10.0, abs=0.1)
    assert against["relative"] > own["relative"]
    assert "f1" not in own


def test_a_phantom_is_held_against_its_truth_too(answers):
    fit = Start(NOTHING, 1.0)
    answers[fit] = lambda scan, responses: constrained_deconvolution(scan, response=responses[0], degree=6)
    phantom = crossing_phantom(70.0, shape=(8, 8, 4), protocol=SMALL, snr=30.0)
    case = Case(Subject("crossing", phantom.scan, phantom.responses), fit, folds=2, truth=Truth.of(phantom))
    found = case.measure(fit)
    assert 0.5 < found["f1"] <= 1.0
    assert 0.0 < found["error"] < 25.0


def test_no_minutes_are_inference_and_more_are_a_fit_from_the_network(monkeypatch):
    asked = []
    monkeypatch.setattr(adaptation, "answer", lambda model, scan, responses: asked.append(("infer", model)))
    monkeypatch.setattr(adaptation, "default_settings", lambda voxels, **settings: settings)
    monkeypatch.setattr(
        adaptation, "fit", lambda scan, responses, settings: asked.append(settings) or type("Fit", (), {"fod": None})
    )
    phantom = crossing_phantom(60.0, shape=(2, 2, 2))
    for start in (Start("base", 0.0), Start("base", 0.5), Start("estimate", 0.5), Start(NOTHING, 1.0)):
        start.fods(phantom.scan, phantom.responses)
    assert asked == [
        ("infer", "base"),
        {"minutes": 0.5, "start": "base"},
        {"minutes": 0.5, "start": "none"},
        {"minutes": 1.0, "start": "none"},
    ]


def test_end_to_end(answers, monkeypatch, tmp_path, capsys):
    phantom = crossing_phantom(70.0, shape=(6, 6, 3), protocol=SMALL)
    monkeypatch.setattr(adaptation, "read_subject", lambda image: Subject("small", phantom.scan, phantom.responses[:1]))
    for start, degree in ((Start(NOTHING, 1.0), 6), (Start("estimate", 0.0), 4), (Start("estimate", 0.5), 6)):
        answers[start] = lambda scan, responses, degree=degree: constrained_deconvolution(
            scan, response=responses[0], degree=degree
        )
    options = ["--model", "estimate", "--minutes", "0.5", "--phantom", "none", "--folds", "2", "--out", str(tmp_path)]
    adaptation.main(options)
    said = capsys.readouterr().out
    rows = json.loads((tmp_path / "adaptation.json").read_text())["rows"]
    assert [(row["model"], row["minutes"]) for row in rows] == [("none", 1.0), ("estimate", 0.0), ("estimate", 0.5)]
    assert rows[1]["ratio"] == pytest.approx(rows[1]["relative"] / rows[0]["relative"])
    assert rows[2]["ratio"] == 1.0
    assert rows[2]["main_angle"] == pytest.approx(0.0, abs=0.05)
    assert "| small | from nothing | 1 |" in said
    monkeypatch.setattr(Case, "measure", lambda *_: pytest.fail("computed again"))
    adaptation.main(options)
    assert capsys.readouterr().out == said


@pytest.mark.filterwarnings("ignore::shd.errors.ShdWarning")  # of the scan in the dipy package, which has no mask
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "some"], "--minutes some: numbers"),
        (["--minutes", "0,1"], "--minutes 0,1: each more than 0"),
        (["--fit-minutes", "0"], "--fit-minutes 0: training needs more than 0"),
        (["--phantom", "cube"], "no phantom cube"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
        (["--model", "magic"], "--model magic: magic is no file"),
        (["--scan", "nowhere.nii.gz"], "nowhere.nii.gz"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        adaptation.main(["--model", "estimate", *options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
