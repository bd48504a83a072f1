"""Networks trained before as rows of the tables: the estimate they begin with, and what is said of a missing one."""

import numpy as np
import pytest

import shd
from benchmarks import accuracy
from benchmarks.accuracy_table.cells import CEILING, Cell, measure_method
from benchmarks.accuracy_table.problems import PROTOCOLS, Problem
from benchmarks.accuracy_table.rows import gaps_closed, rows_by_setting
from benchmarks.deconvolvers import pretrained
from benchmarks.deconvolvers.methods import METHODS, OURS, applied, chosen_methods
from benchmarks.deconvolvers.pretrained import ESTIMATE, PACKAGED, answer, missing_model
from benchmarks.deconvolvers.training import Budget
from shd.fodf.peaks import find_peaks
from shd.simulation import crossing_phantom, single_bundle
from shd.sphere.directions import axial_angle
from tests.support.affines import AFFINES

AXIS = np.array([0.6, -0.48, 0.64])
OWN = [f"shd-{model}" for model in (ESTIMATE, *PACKAGED)]


CLOSE = dict.fromkeys(OWN, 7.0) | {f"shd-{ESTIMATE}": 3.5}  # degrees: directions of the half-sphere are 7° apart


def bundle(key, affine):
    """Return a network's fODFs of a small volume full of one bundle."""
    reason = METHODS[key].missing()
    if reason is not None:
        pytest.skip(reason)
    phantom = single_bundle(AXIS, AFFINES[affine], shape=(4, 4, 4), snr=40.0)
    return METHODS[key].run(phantom.scan, phantom.responses, Budget(steps=1))


@pytest.mark.filterwarnings("ignore::shd.errors.ShdWarning")  # so small a scan is outside of what is trained on
@pytest.mark.parametrize("key", OWN)
@pytest.mark.parametrize("affine", ["oblique", "permuted"])
def test_peak_of_a_bundle_whatever_the_affine(key, affine):
    field = bundle(key, affine)
    peaks = find_peaks(field.wm[2, 2], count=1)
    assert axial_angle(peaks.directions[0].astype(np.float64), AXIS) < CLOSE[key]
    assert np.array_equal(field.affine, AFFINES[affine])


@pytest.mark.filterwarnings("ignore::shd.errors.ShdWarning")
@pytest.mark.parametrize("key", [f"shd-{model}" for model in (ESTIMATE, *PACKAGED)])
def test_amount_of_a_voxel_full_of_one_bundle(key):
    field = bundle(key, "oblique")
    assert np.median(field.wm[..., 0]) * np.sqrt(4 * np.pi) == pytest.approx(1.0, abs=0.1)


def test_a_missing_network_is_explained(monkeypatch, tmp_path):
    monkeypatch.setattr(shd, "__file__", str(tmp_path / "__init__.py"))
    assert missing_model("base") == "the network base is not in the package"
    present, missing = chosen_methods(["shd-base", "shd-estimate"])
    assert list(present) == ["shd-estimate"]
    assert missing == {"shd-base": "the network base is not in the package"}
    (tmp_path / "base.safetensors").touch()
    assert missing_model("base") is None
    assert missing_model(str(tmp_path / "base.safetensors")) is None
    assert "no file, nor one of estimate, base, small" in str(missing_model("magic"))


def test_a_network_is_given_its_name_and_the_responses(monkeypatch):
    given = {}

    def infer(scan, model, *, responses):
        given.update(scan=scan, model=model, responses=responses)
        return type("Fit", (), {"fod": "fods"})

    monkeypatch.setattr(shd, "infer", infer, raising=False)
    phantom = crossing_phantom(60.0, shape=(2, 2, 2))
    assert applied("weights/mine.safetensors").name == "shd infer, mine"
    assert answer("small", phantom.scan, phantom.responses) == "fods"
    assert given == {"scan": phantom.scan, "model": "small", "responses": phantom.responses}


def test_networks_of_ours_get_every_tissue_and_rivals_what_shells_tell_apart(monkeypatch):
    phantom = crossing_phantom(60.0, shape=(8, 8, 4), protocol=PROTOCOLS["hardi"])
    tissues = []
    for key in ("dipy-csd", "shd-estimate"):
        run = METHODS[key].run
        method = METHODS[key]
        monkeypatch.setitem(vars(method), "run", lambda s, r, b, run=run: tissues.append(len(r)) or run(s, r, b))
        measure_method(method, phantom, Budget(steps=1))
    assert tissues == [2, 3]


def test_networks_of_ours_are_no_rivals():
    """Neither of the fit, nor in the set of the accuracy tables."""
    scores = {"f1": 0.9, "error": 4.0, "best_f1": 0.9, "best_error": 4.0}
    problem = Problem("tangle", "research", 20.0, 0)
    values = {CEILING: 1.0, "dipy-csd": 0.8, "shd-estimate": 0.99, OURS: 0.9}
    cells = [Cell(key, problem, "", {**scores, "f1": value}, 1.0, "") for key, value in values.items()]
    (rows,) = rows_by_setting(cells).values()
    for trained in (False, True):
        assert gaps_closed(rows, trained_rivals=trained)[0].rival == "dipy-csd"
    assert not set(OWN) & set(accuracy.SETS["full"].methods)
    assert accuracy.SETS["full"].protocols == ("research", "hardi", "clinical")


def test_the_estimate_is_the_answer_of_a_fit_before_its_first_step():
    """Against the network that a fit of that scan begins with."""
    from benchmarks.accuracy_against_minutes import fitted

    phantom = crossing_phantom(60.0, shape=(6, 6, 3))
    expected, _ = fitted(phantom, 0)
    np.testing.assert_allclose(
        pretrained.estimated(phantom.scan, phantom.responses).wm, expected, atol=1e-5 * np.abs(expected).max()
    )
