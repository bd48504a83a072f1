"""`shd export` and `shd convert` as a user runs them."""

import nibabel as nib
import numpy as np
import pytest

from shd.io.fodf import read_fod, write_fod
from shd.io.images import write_image
from tests.interop.known_fods import GRIDS, SHAPE, scattered_fibres
from tests.support.stored import everything_in, run_program

AFFINE = GRIDS["oblique LAS"]
ALL = "mrtrix-fod,mif,fixels,peaks-mrtrix,peaks-scilpy,peaks-tractseg,pam5,dipy-sh,odf,fib"


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write_fod(folder / "wm_fod.nii.gz", scattered_fibres()[0], AFFINE)
    write_image(folder / "mask.nii.gz", [np.ones(SHAPE, np.float32)], SHAPE, AFFINE, {})
    return folder


def said(ran):
    return " ".join(ran.out.split())


def test_every_format_and_option(out, tmp_path, capsys):
    options = ["--basis", "tournier07", "--sphere", "repulsion100", "--fixel-format", "nii", "--degree", "6"]
    ran = run_program(
        capsys, "export", out, "--to", ALL, "--dest", tmp_path / "e", *options, "--mask", out / "mask.nii.gz"
    )
    assert ran.code == 0, ran.err
    assert "fixels: fixels" in said(ran) and "dipy-sh: wm_fod_tournier07.nii.gz, wm_fod_tournier07.json" in said(ran)
    assert f"wrote 21 files in {tmp_path / 'e'}" in said(ran)
    assert f"mrview {tmp_path / 'e' / 'wm_fod.nii.gz'} -odf.load_sh" in said(ran)
    assert nib.load(tmp_path / "e" / "wm_fod.nii.gz").shape == (*SHAPE, 28)
    assert nib.load(tmp_path / "e" / "wm_odf_repulsion100.nii.gz").shape == (*SHAPE, 100)
    assert (tmp_path / "e" / "fixels" / "index.nii").is_file()


def test_files_go_into_the_results_folder_and_are_replaced_by_force_alone(out, capsys):
    assert run_program(capsys, "export", out, "--to", "mif").code == 0
    assert (out / "export" / "wm_fod.mif").is_file()
    ran = run_program(capsys, "export", out, "--to", "mif")
    assert ran.code == 2 and "exists already; give another name, or --force" in ran.err
    assert run_program(capsys, "export", out, "--to", "mif", "--force").code == 0


@pytest.mark.parametrize("options, message", [
    (["--to", "xyz"], "format xyz: unknown; give one of mrtrix-fod, mif, fixels"),
    (["--to", ","], "format (none): unknown; give one of mrtrix-fod, mif, fixels"),
    (["--to", "bid"], "odf, fib, or bids alone"),
    (["--to", "dipy-sh", "--basis", "legendre"], "basis legendre: unknown to DIPY; give one of tournier07"),
    (["--to", "odf", "--sphere", "ball"], "sphere ball: unknown; give one of repulsion100"),
    (["--to", "fixels", "--fixel-format", "nii1"], "NIfTI-1 holds up to 32,767 along an axis"),
    (["--to", "mif", "--degree", "7"], "degree 7 is asked for but out has degree 8"),
])  # fmt: skip
def test_bad_options_of_export(out, capsys, options, message):
    before = everything_in(out)
    ran = run_program(capsys, "export", out, *options)
    assert ran.code == 2 and ran.err.count("error: ") == 1 and "Traceback" not in ran.err
    assert message in ran.err
    assert everything_in(out) == before


def forty_four(path):
    nib.save(nib.Nifti1Image(np.ones((*SHAPE, 44), np.float32), AFFINE), path)


def another_grid(path):
    moved = AFFINE.copy()
    moved[0, 3] += 9
    write_image(path, [np.ones(SHAPE, np.float32)], SHAPE, moved, {})


def cut_short(path):
    write_fod(path, scattered_fibres()[0], AFFINE)
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("name, make, message", [
    ("wm_fod.nii.gz", forty_four, "44 coefficients"),
    ("mask.nii.gz", another_grid, "lies 9.00 mm away from wm_fod.nii.gz"),
])  # fmt: skip
def test_bad_results_of_export(out, capsys, name, make, message):
    make(out / name)
    before = everything_in(out)
    ran = run_program(capsys, "export", out, "--to", "mif")
    assert ran.code == 2 and message in ran.err and "Traceback" not in ran.err
    assert everything_in(out) == before


def test_a_mif_cut_short_is_one_error(tmp_path, capsys):
    cut_short(tmp_path / "fod.mif")
    for command in (
        ["export", tmp_path / "fod.mif", "--to", "fib"],
        ["convert", tmp_path / "fod.mif", tmp_path / "a.nii"],
    ):
        ran = run_program(capsys, *command)
        assert ran.code == 2 and "fod.mif: damaged or cut short" in ran.err and "Traceback" not in ran.err
        assert [path.name for path in tmp_path.iterdir()] == ["fod.mif"]


def test_convert_there_and_back(out, tmp_path, capsys):
    there = ["--to-basis", "descoteaux07_legacy", "--to-axes", "voxel"]
    ran = run_program(capsys, "convert", out / "wm_fod.nii.gz", tmp_path / "there.mif", *there)
    assert ran.code == 0, ran.err
    assert "basis mrtrix3, as its sidecar states" in said(ran)
    assert "mrtrix3, scanner axes → descoteaux07_legacy, voxel axes" in said(ran)
    said_too = ["--from-basis", "descoteaux07_legacy", "--from-axes", "voxel", "--degree", "8"]
    assert run_program(capsys, "convert", tmp_path / "there.mif", tmp_path / "back.nii.gz", *said_too).code == 0
    np.testing.assert_allclose(read_fod(tmp_path / "back.nii.gz")[0], scattered_fibres()[0], atol=1e-6)


def test_convert_peaks(out, tmp_path, capsys):
    run_program(capsys, "export", out, "--to", "peaks-mrtrix", "--dest", tmp_path)
    options = ["--peaks", "--from-layout", "mrtrix", "--to-layout", "tractseg"]
    ran = run_program(capsys, "convert", tmp_path / "peaks_mrtrix.nii.gz", tmp_path / "t.nii.gz", *options)
    assert ran.code == 0 and "mrtrix layout → tractseg layout" in said(ran), ran.err
    assert nib.load(tmp_path / "t.nii.gz").shape == (*SHAPE, 9)


@pytest.mark.parametrize("options, message", [
    (["--to-basis", "legendre"], "basis legendre: unknown; give one of mrtrix3"),
    (["--from-axes", "world"], "axes world: unknown; give one of scanner, voxel"),
    (["--peaks", "--to-layout", "fsl"], "layout fsl: unknown; give one of mrtrix, scilpy, tractseg"),
    (["--peaks", "--degree", "4"], "--degree: only for harmonics"),
    (["--from-layout", "mrtrix"], "--from-layout: only for peaks; add --peaks"),
    (["--to-layout", "mrtrix"], "--to-layout: only for peaks; add --peaks"),
    (["--peaks", "--to-basis", "mrtrix3"], "--to-basis: only for harmonics"),
    (["--degree", "12"], "degree 12 is asked for but wm_fod.nii.gz has degree 8"),
])  # fmt: skip
def test_bad_options_of_convert(out, tmp_path, capsys, options, message):
    ran = run_program(capsys, "convert", out / "wm_fod.nii.gz", tmp_path / "a.nii.gz", *options)
    assert ran.code == 2 and message in " ".join(ran.err.replace("│", " ").split()) and "Traceback" not in ran.err
    assert not (tmp_path / "a.nii.gz").exists()
