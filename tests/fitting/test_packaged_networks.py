"""The networks in the package: what they are, any protocol, and what is said outside of what they were trained on."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import shd
from shd.errors import CheckpointError, ResponseError, ShdWarning
from shd.fitting.train_choices import choices_of
from shd.io.checkpoints import read_model, write_model
from shd.io.model_files import PACKAGED
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.fibre_features import fibre_feature_count
from shd.simulation.crossing import single_bundle
from shd.simulation.protocols import Protocol
from shd.sphere.directions import normalised

ROOT = Path(shd.__file__).parents[1]
AXIS = normalised(np.array([[0.8, -0.36, 0.48]]))[0]
SHELLS = {
    "six": ((1000.0, 6),),
    "one": ((3000.0, 20),),
    "three": ((700.0, 10), (1500.0, 10), (3000.0, 20)),
    "four": ((700.0, 8), (1500.0, 8), (3000.0, 12), (5000.0, 12)),
}


def scan_of(shells, snr=30.0):
    return single_bundle(AXIS, np.diag([2.0, 2.0, 2.0, 1.0]), protocol=Protocol("some", 4, shells), snr=snr)


def angle(found):
    mean = np.abs(np.clip(found.peaks.directions[..., 0, :].reshape(-1, 3) @ AXIS, -1, 1))
    return np.degrees(np.arccos(np.median(mean)))


def test_they_are_small_and_made_by_their_recipes():
    assert set(PACKAGED) == {"base", "small"}
    files = [ROOT / "shd" / "weights" / f"{name}.safetensors" for name in PACKAGED]
    assert sum(file.stat().st_size for file in files) < 12e6
    for name in PACKAGED:
        stored = read_model(name)
        settings, _ = choices_of({}, ROOT / "benchmarks" / "pretrain" / f"{name}.json")
        assert stored.network.config == settings.config and not stored.network.training
        assert stored.responses == () and stored.trained is not None and len(stored.trained.ends) == 5


@pytest.mark.parametrize("name", PACKAGED)
@pytest.mark.parametrize("shells", SHELLS.values(), ids=SHELLS)
@pytest.mark.parametrize("tissues", [1, 3])
def test_any_protocol_and_any_tissues(name, shells, tissues):
    """The direction of one bundle, with responses of white matter alone or of all tissues."""
    phantom = scan_of(shells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShdWarning)  # so small a scan has no neighbours to measure noise by
        found = shd.infer(phantom.scan, name, phantom.responses[:tissues], device="cpu")
    assert angle(found) < (6 if shells == SHELLS["six"] else 3)
    assert set(found.fod.isotropic) == ({"gm", "csf"} if tissues == 3 else set())
    assert np.isfinite(found.fod.wm).all()


def test_outside_of_what_was_trained_it_says_so_with_the_numbers():
    phantom = scan_of(((1000.0, 20), (9000.0, 20)))
    expected = r"outside of what base was trained on: b-values \(s/mm²\) 1000 to 9000 \(trained: 500 to .*"
    with pytest.warns(ShdWarning, match=expected + "shd fit --start none"):
        shd.infer(phantom.scan, "base", phantom.responses, device="cpu")


def test_inside_nothing_is_said():
    phantom = scan_of(((1000.0, 20), (2500.0, 20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ShdWarning)
        shd.infer(phantom.scan, "small", phantom.responses, device="cpu")


def test_responses_of_the_scan_of_the_fit_or_given():
    phantom = scan_of(((1000.0, 20), (3000.0, 20)))
    fitted = shd.fit(phantom.scan, phantom.responses, steps=1)
    assert fitted.settings.start != "none" and fitted.model.config.features == "fibre"
    assert fitted.trained == read_model("small").trained  # and inferring with it warns as with its start
    again = shd.infer(phantom.scan, "small", responses=phantom.responses[::-1], device="cpu")
    assert [r.tissue for r in again.responses] == ["wm", "csf", "gm"]


def test_a_fits_network_takes_its_responses_along_where_shells_agree(tmp_path):
    phantom, other = scan_of(((1000.0, 20), (3000.0, 20))), scan_of(((1000.0, 30), (3000.0, 12)))
    network = read_model("small").network
    scaled = tuple(replace(r, coefficients=2 * r.coefficients) for r in phantom.responses)
    write_model(tmp_path / "model.safetensors", network, scaled)
    same, estimated = (
        shd.infer(scan, tmp_path / "model.safetensors", device="cpu")
        for scan in (other.scan, scan_of(((1000.0, 30),)).scan)
    )
    np.testing.assert_array_equal(same.responses[0].coefficients, scaled[0].coefficients)
    assert len(estimated.responses[0].bvalues) == 2


def test_tissues_that_the_network_does_not_know(tmp_path):
    phantom = scan_of(((1000.0, 20), (3000.0, 20)))
    white = Deconvolver(ModelConfig(fibre_feature_count(("wm",)), ("wm",), width=2, features="fibre"))
    write_model(tmp_path / "white.safetensors", white)
    with pytest.raises(ResponseError, match=r"3 tissues \(wm, gm, csf\), the network wm"):
        shd.infer(phantom.scan, tmp_path / "white.safetensors", phantom.responses, device="cpu")


def test_a_name_that_is_neither_packaged_nor_a_file():
    phantom = scan_of(((1000.0, 20),))
    with pytest.raises(CheckpointError, match="large: no such network; give base or small"):
        shd.infer(phantom.scan, "large", phantom.responses, device="cpu")
