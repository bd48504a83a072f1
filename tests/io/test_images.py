import json
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from shd.errors import OutputError, ScanError
from shd.io.images import read_with_sidecar, sidecar_path, write_image

AFFINE = np.array([[0.0, -1.5, 0, 4], [2.0, 0, 0, -7], [0, 0, 2.5, 1], [0, 0, 0, 1]])


def volumes(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 4, 5, 1), (1, 1, 1, 45)])
def test_nibabel_reads_what_was_written(tmp_path, name, shape):
    data = volumes(shape)
    write_image(tmp_path / name, np.moveaxis(data, 3, 0), shape, AFFINE, {"Key": 1})
    image = nib.load(tmp_path / name)
    assert image.shape == shape and image.get_data_dtype() == np.float32 and type(image) is nib.Nifti1Image
    np.testing.assert_array_equal(image.get_fdata(), data.astype(np.float32))
    for form, code in (image.header.get_sform(coded=True), image.header.get_qform(coded=True)):
        np.testing.assert_allclose(form, AFFINE, atol=1e-5)
        assert code == 1
    np.testing.assert_allclose(image.header.get_zooms()[:3], [2.0, 1.5, 2.5], rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert sidecar["Key"] == 1 and sidecar["GeneratedBy"][0]["Name"] == "shd"


def test_a_long_axis_needs_nifti2(tmp_path):
    shape = (40000, 1, 1)
    write_image(tmp_path / "a.nii", [volumes(shape)], shape, np.eye(4), {})
    image = nib.load(tmp_path / "a.nii")
    assert type(image) is nib.Nifti2Image
    np.testing.assert_array_equal(image.get_fdata(), volumes(shape).astype(np.float32))


def test_a_sheared_grid_has_its_geometry_once(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 2] = 0.8
    write_image(tmp_path / "a.nii", [volumes((2, 2, 2))], (2, 2, 2), sheared, {})
    image = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(image.affine, sheared, atol=1e-6)
    assert image.header["qform_code"] == 0


def test_the_same_image_is_the_same_file(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, [volumes((4, 4, 4))], (4, 4, 4), AFFINE, {})
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_memory_is_bounded_by_a_volume(tmp_path):
    shape = (32, 32, 32, 45)
    source = np.broadcast_to(np.float32(1), shape)
    tracemalloc.start()
    write_image(tmp_path / "a.nii", (source[..., i] for i in range(45)), shape, AFFINE, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 4 * 32**3  # the whole image is 45 volumes


def test_neither_file_appears_when_a_volume_fails(tmp_path):
    def failing():
        yield volumes((3, 3, 3))
        raise MemoryError

    with pytest.raises(MemoryError):
        write_image(tmp_path / "a.nii.gz", failing(), (3, 3, 3, 2), AFFINE, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.mih", "a.nii.bz2", "a"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"\.nii, \.nii\.gz, \.mif or \.mif\.gz"):
        write_image(tmp_path / name, [volumes((2, 2, 2))], (2, 2, 2), AFFINE, {})
    assert not list(tmp_path.iterdir())


def test_sidecars_keep_dots_in_names(tmp_path):
    assert sidecar_path(tmp_path / "sub-01.v2.nii.gz").name == "sub-01.v2.json"


def test_a_broken_sidecar_is_named(tmp_path):
    write_image(tmp_path / "a.nii", [volumes((2, 2, 2))], (2, 2, 2), AFFINE, {})
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ScanError, match=r"a\.json: not readable as JSON"):
        read_with_sidecar(tmp_path / "a.nii")


def test_an_image_without_sidecar_is_read(tmp_path):
    write_image(tmp_path / "a.nii", [volumes((2, 2, 2))], (2, 2, 2), AFFINE, {})
    (tmp_path / "a.json").unlink()
    data, affine, sidecar = read_with_sidecar(str(tmp_path / "a.nii"))
    assert data.dtype == np.float32 and sidecar == {}
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
