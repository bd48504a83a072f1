"""Label images: whole numbers on the grid of a scan, anything else refused."""

import nibabel as nib
import numpy as np
import pytest

from shd.errors import ScanError
from shd.io.images import write_image
from shd.io.labels import read_labels

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SHAPE = (4, 3, 2)


def stored(path, values, affine=AFFINE):
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_whole_numbers_of_any_type_are_labels(tmp_path, dtype):
    values = np.arange(24).reshape(SHAPE).astype(dtype)
    found = read_labels(stored(tmp_path / "l.nii.gz", values), "the scan", SHAPE, AFFINE)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.int16


@pytest.mark.parametrize("name", ["l.mif", "l.mif.gz"])
def test_labels_in_mrtrix_format_are_read(tmp_path, name):
    values = np.arange(24, dtype=np.int16).reshape(SHAPE)
    write_image(tmp_path / name, [values], values.shape, AFFINE, None, dtype="<i2")
    found = read_labels(tmp_path / name, "the scan", SHAPE, AFFINE)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.int16


def test_what_is_written_is_read_and_has_a_sidecar(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(SHAPE)
    write_image(tmp_path / "l.nii.gz", [values], values.shape, AFFINE, {"Labels": [1]}, dtype="<i2")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.nii.gz", "x", SHAPE, AFFINE), values)
    assert nib.load(tmp_path / "l.nii.gz").get_data_dtype() == np.int16
    assert '"Labels"' in (tmp_path / "l.json").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v + 0.3, r"24 of 24 voxels are no labels, the first at \(0, 0, 0\) \(0.3\)"),
        (lambda v: np.where(v == 5, np.nan, v), "1 of 24 voxels are no labels"),
        (lambda v: v - 1, "1 of 24 voxels are no labels"),
        (lambda v: v + 240, "8 of 24 voxels are no labels"),
        (lambda v: v[:3], "3 × 3 × 2 voxels but the scan 4 × 3 × 2"),
        (lambda v: np.stack([v, v], axis=-1), "4-D with"),
    ],
)
def test_other_values_or_sizes_are_refused(tmp_path, change, message):
    values = change(np.arange(24, dtype=np.float32).reshape(SHAPE)).astype(np.float32)
    with pytest.raises(ScanError, match=message):
        read_labels(stored(tmp_path / "l.nii.gz", values), "the scan", SHAPE, AFFINE)


def test_labels_elsewhere_are_refused(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] = 5.0
    path = stored(tmp_path / "l.nii.gz", np.zeros(SHAPE, np.uint8), moved)
    with pytest.raises(ScanError, match=r"lies 5.00 mm away from the scan"):
        read_labels(path, "the scan", SHAPE, AFFINE)
