"""`shd maps`: a file and a sidecar a map, and a picture of them all."""

import json

import nibabel as nib
import numpy as np
import pytest

from shd.fitting.maps import MAPS
from shd.io.peaks import read_peaks
from tests.cli.test_normalise import store
from tests.fodf.tissue_fields import bias, tissues
from tests.support.stored import everything_in, run_program


@pytest.fixture
def fitted(tmp_path):
    return store(tissues(bias(1)), tmp_path / "fit")


def test_every_map_has_a_file_and_says_its_unit(capsys, fitted):
    ran = run_program(capsys, "maps", fitted)
    assert ran.code == 0, ran.err
    held = {path.name for path in (fitted / "maps").iterdir()}
    files = {name + ending for name in MAPS for ending in (".nii.gz", ".json")}
    assert held == {*files, "maps.json", "maps.png", "peaks.nii.gz", "peaks.json"}  # the folder had no peaks
    for name in MAPS:
        sidecar = json.loads((fitted / "maps" / f"{name}.json").read_text())
        assert sidecar["Units"] and sidecar["Description"] and sidecar["Sources"] == [str(fitted)]
        image = nib.load(fitted / "maps" / f"{name}.nii.gz")
        assert image.get_data_dtype() == np.float32
        np.testing.assert_allclose(image.affine, nib.load(fitted / "wm_fod.nii.gz").affine)
    peaks, _, _ = read_peaks(fitted / "maps" / "peaks.nii.gz")
    density = nib.load(fitted / "maps" / "afd_fixel.nii.gz").get_fdata()
    assert ((density > 0) == (peaks.amplitudes > 0)).all()
    assert nib.load(fitted / "mask.nii.gz").get_fdata().astype(bool)[density.any(axis=-1)].all()
    assert f"look at {fitted / 'maps' / 'maps.png'}" in ran.out


def test_fractions_sum_to_one_in_the_mask(capsys, fitted):
    assert run_program(capsys, "maps", fitted, "--only", "fraction_wm, fraction_gm,fraction_csf").code == 0
    total = sum(nib.load(fitted / "maps" / f"fraction_{t}.nii.gz").get_fdata() for t in ("wm", "gm", "csf"))
    np.testing.assert_allclose(total, nib.load(fitted / "mask.nii.gz").get_fdata(), atol=1e-6)
    assert len(list((fitted / "maps").glob("*.nii.gz"))) == 4  # and the peaks


def test_an_image_alone_has_the_maps_of_white_matter(capsys, tmp_path, fitted):
    ran = run_program(capsys, "maps", fitted / "wm_fod.nii.gz", "--dest", tmp_path / "maps")
    assert ran.code == 0, ran.err
    held = {path.name.removesuffix(".nii.gz") for path in (tmp_path / "maps").glob("*.nii.gz")}
    assert held == {*MAPS, "peaks"} - {"fraction_wm", "fraction_gm", "fraction_csf", "tissue_sum"}


def test_other_maps_are_added_with_force(capsys, fitted):
    assert run_program(capsys, "maps", fitted, "--only", "gfa").code == 0
    before = everything_in(fitted)
    ran = run_program(capsys, "maps", fitted, "--only", "afd_total")
    assert ran.code == 2 and "give another --dest, or --force" in ran.err and everything_in(fitted) == before
    assert run_program(capsys, "maps", fitted, "--only", "afd_total", "--force").code == 0
    assert {"gfa.nii.gz", "afd_total.nii.gz"} <= {path.name for path in (fitted / "maps").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--only", "gfa,fa"), "1 of 2 maps unknown ['fa']; there are dec, afd_total"),
     (("--only", ""), "maps unknown"), (("--threshold", "-1"), "peak threshold -1.0: give an amplitude of 0 or more")],
)  # fmt: skip
def test_bad_choices_write_nothing(capsys, fitted, arguments, says):
    before = everything_in(fitted)
    ran = run_program(capsys, "maps", fitted, *arguments)
    assert ran.code == 2 and ran.err.count("error: ") == 1 and says in ran.err, ran.err
    assert everything_in(fitted) == before


def test_results_are_no_place_for_maps(capsys, tmp_path, fitted):
    other = store(tissues(), tmp_path / "other")
    before = everything_in(tmp_path)
    ran = run_program(capsys, "maps", fitted, "--dest", other, "--force")
    assert ran.code == 2 and "other: holds run.json, so it is no place for maps; give another --dest" in ran.err
    assert everything_in(tmp_path) == before


def test_results_that_cannot_be(capsys, tmp_path):
    negative = store(tissues(-1.0), tmp_path / "negative", record=False)
    alone = store(tissues(), tmp_path / "alone")
    for tissue in ("gm", "csf"):
        (alone / f"{tissue}.nii.gz").unlink()
    before = everything_in(tmp_path)
    for arguments, says in (
        ((negative,), "voxels in the mask hold any tissue"),
        ((alone, "--only", "fraction_gm"), "fraction_gm: the result has 1 tissue (wm)"),
        ((tmp_path / "none",), "no such file"),
    ):
        ran = run_program(capsys, "maps", *arguments, "--dest", tmp_path / "out")
        assert ran.code == 2 and ran.err.count("error: ") == 1 and says in ran.err, ran.err
        assert everything_in(tmp_path) == before
