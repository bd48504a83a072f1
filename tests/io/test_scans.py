import gzip
import shutil
import tempfile
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from shd.errors import GradientError, ScanError, ShdWarning
from shd.io import unpacked
from shd.io.images import read_grid, read_with_sidecar
from shd.io.masks import read_mask
from shd.io.scans import read_scan
from shd.sphere.directions import half_sphere
from tests.support.affines import AFFINES, CONVENTIONS, write_table

DIRECTIONS = np.concatenate([np.zeros((2, 3)), half_sphere(10)])
BVALUES = np.array([0.0, 5.0] + [1000.0] * 10)
SHAPE = (7, 6, 5, 12)


@pytest.fixture
def stored(tmp_path):
    """Write an image, mask and FSL table; options change one thing."""

    def write(data=None, affine=AFFINES["oblique"], name="dwi.nii.gz", kind=nib.Nifti1Image, convention="fsl"):
        data = np.random.default_rng(0).integers(50, 900, SHAPE).astype(np.int16) if data is None else data
        nib.save(kind(data, affine), tmp_path / name)
        nib.save(nib.Nifti1Image(np.ones(data.shape[:3], np.uint8), affine), tmp_path / "mask.nii.gz")
        files = write_table(convention, tmp_path / name, BVALUES, DIRECTIONS, affine)
        return {"dwi": tmp_path / name, "mask": tmp_path / "mask.nii.gz", **files}

    return write


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["dwi.nii", "dwi.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_intensities_keep_their_type(stored, dtype, name, kind):
    data = np.random.default_rng(1).integers(1, 30000, SHAPE).astype(dtype)
    scan = read_scan(**stored(data, name=name, kind=kind))
    assert scan.data.dtype == dtype
    assert isinstance(scan.data, np.memmap) is (name == "dwi.nii")
    np.testing.assert_array_equal(scan.data, data)
    assert scan.name == "dwi"


def test_scaled_intensities_become_float32(stored):
    files = stored(name="dwi.nii")
    raw = np.asarray(nib.load(files["dwi"]).dataobj)
    content = bytearray(files["dwi"].read_bytes())
    content[112:120] = np.array([0.25, 3.0], "<f4").tobytes()  # scl_slope and scl_inter of NIfTI-1
    files["dwi"].write_bytes(content)
    scan = read_scan(**files)
    assert scan.data.dtype == np.float32
    np.testing.assert_allclose(scan.data, raw * 0.25 + 3.0, rtol=1e-6)


@pytest.mark.parametrize("endianness", "<>")
@pytest.mark.parametrize(("slope", "name"), [(1.0, "dwi.nii.gz"), (0.25, "dwi.nii.gz"), (0.25, "dwi.nii")])
def test_a_large_file_is_unpacked_to_one_that_is_mapped(tmp_path, stored, monkeypatch, endianness, slope, name):
    """The same numbers as in memory; nothing is left in the temporary folder."""
    files = stored(name=name)
    data = np.asarray(nib.load(files["dwi"]).dataobj).copy()  # not mapped to what is written anew
    image = nib.Nifti1Image(data, nib.load(files["dwi"]).affine, header=nib.Nifti1Header(endianness=endianness))
    image.header.set_slope_inter(slope, 3.0 if slope != 1.0 else 0.0)
    nib.save(image, files["dwi"])
    in_memory = read_scan(**files).data
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(unpacked, "_LARGE", 1)
    monkeypatch.setattr(unpacked, "_AT_ONCE", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    mapped = read_scan(**files).data
    assert isinstance(mapped, np.memmap) and mapped.mode == "r"
    assert mapped.dtype == in_memory.dtype and mapped.strides == in_memory.strides
    np.testing.assert_array_equal(mapped, in_memory)
    assert not list(folder.iterdir())


def test_a_large_file_stays_in_memory_where_the_disk_has_no_room(stored, monkeypatch):
    monkeypatch.setattr(unpacked, "_LARGE", 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert not isinstance(read_scan(**stored()).data, np.memmap)


def test_a_large_file_that_is_cut_short_is_said_to_be(stored, monkeypatch):
    monkeypatch.setattr(unpacked, "_LARGE", 1)
    files = stored()
    whole = gzip.decompress(files["dwi"].read_bytes())
    files["dwi"].write_bytes(gzip.compress(whole[:-100]))
    with pytest.raises(ScanError, match=r"dwi\.nii\.gz: damaged or cut short: .* of .* bytes"):
        read_scan(**files)


def test_big_endian_file(tmp_path, stored):
    files = stored()
    image = nib.load(files["dwi"])
    data = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(data, image.affine, header=nib.Nifti1Header(endianness=">")), files["dwi"])
    scan = read_scan(**files)
    assert scan.data.dtype.isnative
    np.testing.assert_array_equal(scan.data, data)


@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_directions_are_the_scanners_in_every_geometry_and_convention(stored, affine, convention):
    files = stored(affine=AFFINES[affine], convention=convention)
    if convention == "qsiprep":
        with pytest.warns(ShdWarning, match="QSIPrep made it") as caught:
            scan = read_scan(**files)
        assert ("was it changed?" in str(caught[0].message)) is (affine != "LPS")
    else:
        scan = read_scan(**files)
    np.testing.assert_allclose(scan.gradients.directions, DIRECTIONS, atol=1e-8)
    assert [len(shell.volumes) for shell in scan.gradients.shells] == [2, 10]


def test_the_b_file_beside_a_qsiprep_bvec_is_preferred(stored):
    files = stored(affine=AFFINES["LPS"], convention="qsiprep")
    other = DIRECTIONS[:, [1, 2, 0]]
    write_table("mrtrix", files["dwi"], BVALUES, other, AFFINES["LPS"])
    with pytest.warns(ShdWarning, match=r"MRtrix table dwi\.b beside it is used"):
        scan = read_scan(**files)
    np.testing.assert_allclose(scan.gradients.directions, other, atol=1e-8)


@pytest.mark.parametrize("convention", ["fsl", "mrtrix"])
def test_tables_named_as_the_image_are_found(stored, convention):
    files = stored(convention=convention)
    scan = read_scan(files["dwi"], mask=files["mask"])
    np.testing.assert_allclose(scan.gradients.directions, DIRECTIONS, atol=1e-8)


def test_no_table_two_tables_half_a_table(stored):
    files = stored()
    with pytest.raises(GradientError, match="2 gradient tables given"):
        read_scan(**files, grad=files["bval"])
    with pytest.raises(GradientError, match="1 of 2 FSL files"):
        read_scan(files["dwi"], bval=files["bval"])
    files["bvec"].unlink()
    with pytest.raises(GradientError, match=r"neither dwi\.bval with dwi\.bvec nor dwi\.b"):
        read_scan(files["dwi"])


def test_counts_that_differ_name_both_files(stored):
    files = stored(np.ones((7, 6, 5, 11), np.int16))
    with pytest.raises(ScanError, match=r"11 volumes \(dwi\.nii\.gz\) but 12 b-values \(dwi\.bval\)"):
        read_scan(**files)


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 6, 5, 1), (7, 6, 5, 2, 6)])
def test_image_that_is_no_series(stored, shape):
    with pytest.raises(ScanError, match=f"{len(shape)}-D image of 7 × 6 × 5"):
        read_scan(**stored(np.ones(shape, np.float32)))


def test_truncated_files_say_how_much_is_there(stored):
    noise = np.random.default_rng(2).integers(1, 30000, SHAPE).astype(np.int16)
    for name in ("dwi.nii.gz", "dwi.nii"):
        files = stored(noise, name=name)
        content = files["dwi"].read_bytes()
        files["dwi"].write_bytes(content[: len(content) // 2])
        with pytest.raises(ScanError, match=r"cut short: [12],\d{3} of 5,040 bytes"):
            read_scan(**files)


def test_files_that_are_no_nifti(tmp_path, stored):
    files = stored()
    with pytest.raises(ScanError, match="no such file"):
        read_scan(**{**files, "dwi": tmp_path / "none.nii"})
    files["dwi"].write_bytes(gzip.compress(b"hello"))
    with pytest.raises(ScanError, match="not a readable NIfTI"):
        read_scan(**files)
    nib.save(nib.MGHImage(np.ones(SHAPE, np.float32), np.eye(4)), tmp_path / "dwi.mgh")
    with pytest.raises(ScanError, match="MGHImage, but NIfTI"):
        read_scan(**{**files, "dwi": tmp_path / "dwi.mgh"})
    with pytest.raises(ScanError, match="complex64, but 1 real number"):
        read_scan(**stored(np.ones(SHAPE, np.complex64)))


def test_mask_on_another_grid(stored):
    files = stored()
    affine = AFFINES["oblique"].copy()
    affine[0, 3] += 3.0
    nib.save(nib.Nifti1Image(np.ones(SHAPE[:3], np.uint8), affine), files["mask"])
    with pytest.raises(ScanError, match=r"lies 3\.00 mm away .* 0\.20 mm allowed"):
        read_scan(**files)
    nib.save(nib.Nifti1Image(np.ones((7, 6, 4), np.uint8), AFFINES["oblique"]), files["mask"])
    with pytest.raises(ScanError, match=r"mask \(mask\.nii\.gz\) is 7 × 6 × 4 voxels but the scan .* 7 × 6 × 5"):
        read_scan(**files)
    nib.save(nib.Nifti1Image(np.zeros(SHAPE[:3], np.uint8), AFFINES["oblique"]), files["mask"])
    with pytest.raises(ScanError, match="0 of 210 voxels"):
        read_scan(**files)


def test_mask_with_a_fourth_axis_of_one(stored):
    files = stored()
    inside = np.zeros((*SHAPE[:3], 1), np.float32)
    inside[1:3, 2, 2] = 1.0
    nib.save(nib.Nifti1Image(inside, AFFINES["oblique"]), files["mask"])
    np.testing.assert_array_equal(read_scan(**files).mask, inside[..., 0] > 0)


def test_bad_voxels_stop_or_are_left_out_on_request(stored):
    data = np.ones(SHAPE, np.float32)
    data[0, 1, 2, 3] = np.nan
    data[4, 4, 4, 0] = np.inf
    files = stored(data)
    with pytest.raises(ScanError, match="2 of 210 voxels in the mask are NaN or infinite"):
        read_scan(**files)
    with pytest.warns(ShdWarning, match="2 of 210 voxels in the mask are NaN or infinite and are left out"):
        scan = read_scan(**files, ignore_bad_voxels=True)
    assert scan.mask.sum() == 208 and not scan.mask[0, 1, 2] and not scan.mask[4, 4, 4]


@pytest.mark.parametrize("ignored", [False, True])
def test_a_volume_of_nan_is_named_whatever_is_ignored(stored, ignored):
    data = np.ones(SHAPE, np.float32)
    data[..., 7] = np.nan
    with pytest.raises(ScanError, match=r"volume 7 \(numbered from 0\) is NaN or infinite in every voxel of the mask"):
        read_scan(**stored(data), ignore_bad_voxels=ignored)


def test_a_volume_of_zeros_or_too_bright_is_named(stored):
    data = np.full(SHAPE, 100, np.int16)
    data[..., 4] = 0
    with pytest.raises(ScanError, match=r"volume 4 .* zero in every voxel"):
        read_scan(**stored(data))
    data[..., 4] = 10_000
    with pytest.warns(ShdWarning, match=r"volume 4 \(b=1000\) has a median of 1e\+04 in the mask, but its shell 100"):
        read_scan(**stored(data))


def test_an_affine_of_zeros_is_refused_before_the_gradients(stored):
    files = stored()
    content = bytearray(gzip.decompress(files["dwi"].read_bytes()))
    content[280:328] = bytes(48)  # srow_x, srow_y and srow_z of NIfTI-1
    files["dwi"].write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ScanError, match=r"dwi\.nii\.gz: the affine .* has no inverse; correct the header"):
        read_scan(**files)


def test_sform_and_qform_that_contradict_each_other_are_said(stored):
    """A program that takes the other one sees left and right exchanged."""
    files = stored()
    _mirror_qform(files["dwi"])
    with pytest.warns(ShdWarning, match=r"dwi\.nii\.gz: .* sform and qform, that differ by") as caught:
        scan = read_scan(**files)
    mirrored = np.linalg.norm(2 * AFFINES["oblique"][:3, 0] * (SHAPE[0] - 1))
    assert f"{mirrored:.2f} mm" in str(caught[0].message)
    np.testing.assert_allclose(scan.affine, AFFINES["oblique"], atol=1e-6)


@pytest.mark.parametrize("reading", ["mask", "fods", "grid"])
def test_two_forms_are_said_of_every_image(stored, reading):
    files = stored()
    _mirror_qform(files["mask"])
    with pytest.warns(ShdWarning, match=r"mask\.nii\.gz: .* sform and qform"):
        if reading == "mask":
            read_mask(files["mask"], "the scan", SHAPE, AFFINES["oblique"])
        elif reading == "fods":
            read_with_sidecar(files["mask"])
        else:
            read_grid(files["mask"])


def _mirror_qform(path) -> None:
    image = nib.load(path)
    image.set_qform(AFFINES["oblique"] @ np.diag([-1.0, 1.0, 1.0, 1.0]), code=1)
    nib.save(image, path)


def test_header_without_orientation_is_said(stored):
    files = stored(affine=AFFINES["LAS"])
    image = nib.load(files["dwi"])
    for path, data in ((files["dwi"], np.asarray(image.dataobj)), (files["mask"], np.ones(SHAPE[:3], np.uint8))):
        bare = nib.Nifti1Image(data, None)
        bare.header["pixdim"][1:4] = 2.0
        nib.save(bare, path)
    with pytest.warns(ShdWarning, match="codes are both 0"):
        scan = read_scan(**files)
    assert np.linalg.det(scan.affine[:3, :3]) < 0


def head(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A ball of tissue with a bright core, in air of Rician noise; and where the tissue is."""
    place = np.stack(np.indices((24, 24, 20)), axis=-1) - np.array([11.5, 11.5, 9.5])
    radius = np.linalg.norm(place, axis=-1)
    brain = radius < 7.5
    signal = 600.0 * brain + 900.0 * (radius < 2.5)
    series = signal[..., None] * np.exp(-BVALUES * 0.8e-3)
    noise = generator.normal(0, 15, (2, *series.shape))
    return np.hypot(series + noise[0], noise[1]).astype(np.float32), brain


def test_computed_mask_parts_brain_from_air(stored):
    data, brain = head(np.random.default_rng(3))
    files = stored(data)
    with pytest.warns(ShdWarning, match="computed by DIPY's median_otsu"):
        scan = read_scan(files["dwi"])
    overlap = 2 * (scan.mask & brain).sum() / (scan.mask.sum() + brain.sum())
    assert overlap > 0.92


def test_computed_mask_of_a_crop_inside_the_brain_is_all_of_it(stored):
    """Otsu would part the bright core from the rest; all is tissue."""
    data, brain = head(np.random.default_rng(4))
    crop = data[8:16, 8:16, 6:14]
    assert brain[8:16, 8:16, 6:14].all()
    files = stored(crop)
    with pytest.warns(ShdWarning, match="all 512 of 512 voxels"):
        assert read_scan(files["dwi"]).mask.all()


def test_computed_mask_of_nothing(stored):
    with pytest.raises(ScanError, match="0 of 210 voxels have a positive b=0"):
        read_scan(stored(np.zeros(SHAPE, np.int16))["dwi"])
