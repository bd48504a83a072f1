"""`shd peaks`: the peaks of a result, in MRtrix3's layout."""

import nibabel as nib
import numpy as np
import pytest

from shd.io.fodf import write_fod
from shd.io.peaks import read_peaks
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.harmonics import even_harmonics, gaussian_factors
from tests.support.affines import AFFINES
from tests.support.stored import everything_in, run_program

AFFINE = AFFINES["oblique"]
FIBRES = normalised(np.array([[1.0, 0.2, 0.3], [-0.2, 1.0, 0.0]]))  # at a right angle neither moves the other
WEIGHTS = (1.0, 0.3)


@pytest.fixture
def image(tmp_path):
    """Two fibres in all voxels but the first slice."""
    one = WEIGHTS @ (even_harmonics(FIBRES, 12) * gaussian_factors(12, 6.0))
    fods = np.tile(one, (3, 4, 2, 1))
    fods[0] = 0.0
    write_fod(tmp_path / "fods.nii.gz", fods, AFFINE)
    return tmp_path / "fods.nii.gz"


def test_both_fibres_are_found_in_scanner_axes(capsys, tmp_path, image):
    ran = run_program(capsys, "peaks", image, "--out", tmp_path / "peaks.nii.gz")
    assert ran.code == 0, ran.err
    assert "16 voxels; with 0, 1, … peaks: 0, 0, 16" in ran.out
    peaks, affine, sidecar = read_peaks(tmp_path / "peaks.nii.gz")
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)
    assert sidecar["OrientationEncoding"]["Reference"] == "xyz"
    assert peaks.amplitudes.shape == (3, 4, 2, 5) and not peaks.amplitudes[0].any()
    for place in range(2):
        assert axial_angle(peaks.directions[1:, ..., place, :].astype(float), FIBRES[place]).max() < 1.0


@pytest.mark.parametrize("choice", [("--relative", 0.5), ("--cutoff", 2.0), ("--count", 1), ("--separation", 90)])
def test_each_choice_leaves_one(capsys, tmp_path, image, choice):
    ran = run_program(capsys, "peaks", image, "--out", tmp_path / "peaks.mif", *choice)
    assert ran.code == 0, ran.err
    assert (read_peaks(tmp_path / "peaks.mif")[0].numbers[1:] == 1).all()


def test_what_cannot_be_is_one_line_and_leaves_nothing(capsys, tmp_path, image):
    empty = tmp_path / "empty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 45), np.float32), AFFINE), empty)
    (tmp_path / "there.nii.gz").touch()
    before = everything_in(tmp_path)
    for words, says in (
        ((empty, "--out", tmp_path / "p.nii.gz"), "0 of 8 voxels hold an fODF; give"),
        ((image, "--out", tmp_path / "there.nii.gz"), "exists already; give another name, or --force"),
        ((image, "--out", tmp_path / "p.txt"), "change the ending"),
        ((tmp_path / "none", "--out", tmp_path / "p.nii.gz"), "no such file; check the path"),
    ):
        ran = run_program(capsys, "peaks", *words)
        assert ran.code == 2 and says in ran.err, ran.err
        assert "Traceback" not in ran.err and everything_in(tmp_path) == before
