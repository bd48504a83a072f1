"""Exports as a Python user makes them: all files of all formats, or none."""

import nibabel as nib
import numpy as np
import pytest
from dipy.io.peaks import load_pam

from shd.errors import FormatError, OutputError, ScanError, SettingsError, ShdWarning
from shd.fitting.export import FORMATS, export, export_folder, read_source
from shd.fitting.exports.format import Choices
from shd.io.fib import lps_affine, read_fib
from shd.io.fixel_folder import read_fixels
from shd.io.fodf import read_fod, write_fod, write_scalar
from shd.io.images import read_with_sidecar, write_image
from tests.interop.known_fods import GRIDS, SHAPE, scattered_fibres
from tests.support.stored import everything_in

AFFINE = GRIDS["oblique LAS"]
OWN = [name for name in FORMATS if name != "bids"]  # those that need no names of subjects


@pytest.fixture
def folder(tmp_path):
    """A result: fODFs, an isotropic tissue and a mask."""
    out = tmp_path / "out"
    out.mkdir()
    mask = np.ones(SHAPE, bool)
    mask[:2] = False
    write_fod(out / "wm_fod.nii.gz", scattered_fibres()[0], AFFINE, mask, {"NonNegativity": "soft"})
    write_scalar(out / "gm.nii.gz", np.full(SHAPE, 0.5, np.float32), AFFINE)
    write_image(out / "mask.nii.gz", [mask.astype(np.float32)], SHAPE, AFFINE, {})
    return out


@pytest.mark.parametrize("name", OWN)
def test_a_format_writes_the_files_it_names_and_no_other(folder, tmp_path, name):
    source = read_source(folder)
    written = export(source, [name], tmp_path / "made" / "here")
    names = FORMATS[name].files(source, Choices())
    assert [path.name for path in written[name]] == names
    assert sorted(path.name for path in (tmp_path / "made" / "here").iterdir()) == sorted(names)


def test_all_formats_go_into_one_folder_without_collision(folder):
    source = read_source(folder)
    names = [file for name in OWN for file in FORMATS[name].files(source, Choices())]
    assert len(names) == len(set(names))
    export(source, OWN, export_folder(folder))
    assert sorted(path.name for path in (folder / "export").iterdir()) == sorted(names)


def test_the_same_twice_is_byte_for_byte_the_same(folder, tmp_path):
    for place in ("a", "b"):
        export(read_source(folder), [name for name in OWN if name != "pam5"], tmp_path / place)  # HDF5 tells the time
    first, second = everything_in(tmp_path / "a"), everything_in(tmp_path / "b")
    assert {name for name in first if first[name] != second[name]} <= {"wm.fib.gz"}  # MATLAB's header, too


def test_tissues_mask_and_sidecar_are_kept(folder, tmp_path):
    export(read_source(folder), ["mrtrix-fod", "mif"], tmp_path / "e")
    for ending in (".nii.gz", ".mif"):
        wm, affine, sidecar = read_fod(tmp_path / "e" / f"wm_fod{ending}")
        assert sidecar["NonNegativity"] == "soft"
        assert not wm[:2].any() and wm[2:].any(axis=-1).all()
        gm = read_fod(tmp_path / "e" / f"gm{ending}")[0]
        assert (gm[2:] == 0.5).all() and not gm[:2].any()
        np.testing.assert_allclose(affine, AFFINE, atol=1e-5)


def numbers_in(path):
    """The values in an image or a file of DIPY's, a voxel's in a row."""
    if path.suffix != ".pam5":
        return read_with_sidecar(path)[0].reshape(*SHAPE, -1)
    pam = load_pam(str(path))
    fields = (pam.shm_coeff, pam.gfa[..., None], pam.peak_values, pam.peak_dirs.reshape(*SHAPE, -1))
    return np.concatenate(fields, axis=-1)


def test_voxels_that_are_not_finite_are_left_out_of_every_format(folder, tmp_path):
    """One warning, and zeros in all files alike, as outside of the mask."""
    wm = np.asarray(nib.load(folder / "wm_fod.nii.gz").dataobj).copy()
    wm[0, 0, 0, 7], wm[4, 4, 4, 3], wm[5, 4, 4, 3], wm[5, 4, 4, 4] = np.nan, np.nan, np.inf, -np.inf
    nib.save(nib.Nifti1Image(wm, AFFINE), folder / "wm_fod.nii.gz")
    gm = np.full(SHAPE, 0.5, np.float32)
    gm[6, 4, 4] = np.inf
    nib.save(nib.Nifti1Image(gm, AFFINE), folder / "gm.nii.gz")
    with pytest.warns(ShdWarning) as warned:
        export(read_source(folder), OWN, tmp_path / "e")
    expected = "out: 3 of 392 voxels hold values that are not finite; they are left out"
    assert [str(each.message) for each in warned] == [expected]
    files = [path for path in (tmp_path / "e").iterdir() if path.name.endswith((".nii.gz", ".mif", ".pam5"))]
    assert len(files) == 11
    for path in files:
        values = numbers_in(path)
        if path.name == "peaks_mrtrix.nii.gz":  # NaN is how MRtrix3 says that there is no peak
            values = np.nan_to_num(values)
        assert np.isfinite(values).all() and values[3, 4, 4].any(), path.name
        assert not values[4:7, 4, 4].any() and not values[0].any(), path.name
    _, counted, _ = read_fixels(tmp_path / "e" / "fixels")
    assert not counted[4:7, 4, 4].any() and counted[3, 4, 4]
    assert np.isfinite(read_fib(tmp_path / "e" / "wm.fib.gz", lps_affine(AFFINE, SHAPE)[0]).amplitudes).all()


def test_a_lower_degree_and_a_smaller_mask(folder, tmp_path):
    inner = np.zeros(SHAPE, np.float32)
    inner[4:] = 1
    write_image(tmp_path / "inner.nii.gz", [inner], SHAPE, AFFINE, {})
    source = read_source(folder, degree=4, mask=tmp_path / "inner.nii.gz")
    export(source, ["mrtrix-fod"], tmp_path / "e")
    wm = read_fod(tmp_path / "e" / "wm_fod.nii.gz")[0]
    assert wm.shape == (*SHAPE, 15)
    np.testing.assert_array_equal(wm, scattered_fibres()[0][..., :15] * inner[..., None])


def test_an_image_alone_is_exported_beside_it(folder):
    assert export_folder(folder / "wm_fod.nii.gz") == folder / "wm_fod_export"
    export(read_source(folder / "wm_fod.nii.gz"), ["peaks-mrtrix"], export_folder(folder / "wm_fod.nii.gz"))
    assert (folder / "wm_fod_export" / "peaks_mrtrix.nii.gz").is_file()


def test_an_existing_file_stops_everything_unless_forced(folder, tmp_path):
    source = read_source(folder)
    export(source, ["peaks-mrtrix", "fixels"], tmp_path / "e")
    before = everything_in(tmp_path / "e")
    with pytest.raises(OutputError, match=r"peaks_mrtrix\.nii\.gz: exists already.*--force"):
        export(source, ["mif", "peaks-mrtrix"], tmp_path / "e")
    with pytest.raises(OutputError, match="fixels: exists already"):
        export(source, ["fixels"], tmp_path / "e")
    assert everything_in(tmp_path / "e") == before
    (tmp_path / "e" / "fixels" / "afd.mif").unlink()
    export(source, ["mif", "peaks-mrtrix", "fixels"], tmp_path / "e", force=True)
    assert everything_in(tmp_path / "e").keys() == before.keys() | {"wm_fod.mif", "gm.mif"}


@pytest.mark.parametrize("formats, error, message", [
    (["mif", "xyz"], SettingsError, "format xyz: unknown; give one of mrtrix-fod, mif"),
    ([], SettingsError, r"format \(none\): unknown"),
    (["mif", "dipy-sh"], SettingsError, "basis legendre: unknown to DIPY; give one of tournier07"),
    (["mif", "pam5"], SettingsError, "basis legendre: unknown to DIPY"),
    (["mif", "odf"], SettingsError, "sphere ball: unknown; give one of"),
    (["mif", "fixels"], FormatError, r"fixels of 392 voxels in nii1: NIfTI-1 holds up to 32,767 along an axis"),
])  # fmt: skip
def test_what_cannot_be_leaves_nothing(folder, tmp_path, formats, error, message):
    with pytest.raises(error, match=message):
        export(read_source(folder), formats, tmp_path / "e", Choices("legendre", "ball", "nii1"))
    assert not (tmp_path / "e").exists()


def test_an_error_halfway_leaves_nothing(folder, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OutputError("the disk is full")

    monkeypatch.setattr("shd.fitting.exports.peak_images.write_laid_out", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        export(read_source(folder), ["mif", "peaks-scilpy"], tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_an_error_while_moving_takes_no_folder_away(folder, tmp_path):
    """A folder of the user's where a file should go is no reason to lose it, nor the fixels of before."""
    dest = tmp_path / "e"
    export(read_source(folder), ["fixels"], dest)
    (dest / "wm_fod.mif").mkdir()
    (dest / "wm_fod.mif" / "notes.txt").write_text("precious")
    before = everything_in(dest)
    with pytest.raises(OutputError, match="cannot be written"):
        export(read_source(folder, degree=4), ["fixels", "mif"], dest, force=True)
    after = everything_in(dest)
    assert {name: after[name] for name in before} == before


def test_a_mask_of_another_grid_is_refused(folder, tmp_path):
    write_image(tmp_path / "m.nii.gz", [np.ones((3, 3, 3), np.float32)], (3, 3, 3), AFFINE, {})
    with pytest.raises(ScanError, match=r"mask \(m\.nii\.gz\) is 3 × 3 × 3 voxels but out 9 × 8 × 7; resample"):
        read_source(folder, mask=tmp_path / "m.nii.gz")


def test_an_empty_mask_is_refused(folder, tmp_path):
    write_image(tmp_path / "m.nii.gz", [np.zeros(SHAPE, np.float32)], SHAPE, AFFINE, {})
    with pytest.raises(ScanError, match=r"m\.nii\.gz: 0 of 504 voxels are above 0\.5"):
        read_source(folder, mask=tmp_path / "m.nii.gz")
    outside = np.zeros(SHAPE, np.float32)
    outside[0] = 1
    write_image(tmp_path / "o.nii.gz", [outside], SHAPE, AFFINE, {})
    with pytest.raises(FormatError, match="0 of 504 voxels are inside the mask"):
        read_source(folder, mask=tmp_path / "o.nii.gz")


@pytest.mark.parametrize("degree", [3, 10])
def test_a_degree_that_is_not_held_is_refused(folder, degree):
    with pytest.raises(FormatError, match=f"degree {degree} is asked for but out has degree 8"):
        read_source(folder, degree=degree)


def test_the_progress_is_told(folder, tmp_path):
    told = []
    export(read_source(folder), ["mif", "fib"], tmp_path / "e", report=told.append)
    assert [each.done for each in told] == [0.0, 0.5]
