"""fODF images that do not say their basis: a warning where they follow another program, and only there."""

import shlex
import warnings

import numpy as np
import pytest

from shd.errors import ShdWarning
from shd.fitting import checked_result
from shd.fitting.checked_result import read_checked_result
from shd.fitting.convert import convert_harmonics
from shd.io.fodf import read_fod, write_fod
from tests.interop.known_fods import GRIDS, scattered_fibres
from tests.support.fits import store_fit
from tests.support.stored import run_program

AFFINE = GRIDS["oblique LAS"]


@pytest.fixture
def bare(tmp_path):
    """Write the fODFs of fibres in all directions in a basis, without a sidecar."""
    write_fod(tmp_path / "ours.nii.gz", scattered_fibres()[0], AFFINE)

    def written(basis, name="fod.nii.gz", axes="scanner"):
        convert_harmonics(tmp_path / "ours.nii.gz", tmp_path / name, to_basis=basis, to_axes=axes)
        (tmp_path / name).with_name("fod.json").unlink()
        return tmp_path / name

    return written


@pytest.mark.parametrize("basis", ["descoteaux07", "descoteaux07_legacy"])
def test_another_basis_is_warned_of_with_the_command_that_helps(bare, basis, capsys):
    path = bare(basis)
    with pytest.warns(ShdWarning) as warned:
        read_checked_result(path)
    message = str(warned[0].message)
    assert len(warned) == 1 and f"seems to be in {basis}: single fibres are asymmetric by" in message
    words = shlex.split(message.rpartition("first, ")[2])
    assert run_program(capsys, *words[1:], "--from-axes", "scanner").code == 0
    np.testing.assert_allclose(read_fod(words[3])[0], scattered_fibres()[0], atol=1e-5)


@pytest.mark.parametrize("basis", ["mrtrix3", "tournier07"])
def test_mrtrixs_basis_is_not_warned_of(bare, basis):
    path = bare(basis)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_checked_result(path)


def test_noise_is_not_warned_of(tmp_path):
    noise = np.random.default_rng(0).standard_normal((6, 6, 6, 45)).astype(np.float32)
    write_fod(tmp_path / "noise.nii.gz", noise, AFFINE)
    (tmp_path / "noise.json").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_checked_result(tmp_path / "noise.nii.gz")


def test_what_states_its_basis_is_not_looked_at(tmp_path, monkeypatch):
    def fail(coefficients):
        raise AssertionError

    monkeypatch.setattr(checked_result, "guess_basis_of", fail)
    fit = store_fit(tmp_path / "fit")
    assert read_checked_result(fit).path == fit
    assert read_checked_result(fit / "wm_fod.nii.gz").path == fit / "wm_fod.nii.gz"
    (fit / "wm_fod.json").unlink()
    assert read_checked_result(fit).sidecars["wm"] == {}


@pytest.mark.parametrize("command", [
    ("track", "{}", "--out", "t.tck", "--seed-count", 5, "--min-length", 0), ("maps", "{}", "--only", "gfa"),
    ("export", "{}", "--to", "mif"), ("peaks", "{}", "--out", "p.nii.gz"),
    ("export", "{}", "--to", "bids", "--subject", "01", "--dest", "bids"),
], ids=lambda command: " ".join(map(str, command[:4])))  # fmt: skip
def test_commands_warn(bare, tmp_path, monkeypatch, capsys, command):
    path = bare("descoteaux07_legacy")
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("default")  # as outside of tests
    ran = run_program(capsys, *(path if word == "{}" else word for word in command))
    assert "seems to be in descoteaux07_legacy" in " ".join((ran.err + ran.out).split())
