"""Masks: what is above 0.5, on the grid that was asked for, and each mistake in one error."""

import nibabel as nib
import numpy as np
import pytest

from shd.errors import ScanError
from shd.io.images import write_image
from shd.io.masks import read_mask
from tests.support.affines import AFFINES

SHAPE, AFFINE = (4, 3, 2), AFFINES["oblique"]


@pytest.fixture
def values():
    return np.random.default_rng(0).uniform(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("name", ["m.nii", "m.nii.gz", "m.mif", "m.mif.gz"])
def test_above_half_is_inside(tmp_path, values, name):
    values[0, 0], values[1, 0, 0] = 0.5, np.nan
    write_image(tmp_path / name, [values], SHAPE, AFFINE, None)
    assert np.array_equal(read_mask(tmp_path / name, "the scan", (*SHAPE, 7), AFFINE), values > 0.5)


def test_a_fourth_axis_of_one(tmp_path, values):
    nib.save(nib.Nifti1Image(values[..., None], AFFINE), tmp_path / "m.nii")
    assert np.array_equal(read_mask(tmp_path / "m.nii", "the scan", SHAPE, AFFINE), values > 0.5)


def test_what_is_no_mask_of_the_grid(tmp_path, values):
    moved = AFFINE.copy()
    moved[0, 3] += 3.0
    for data, affine, says in (
        (values[:3], AFFINE, r"the mask \(m\.nii\) is 3 × 3 × 2 voxels but the scan 4 × 3 × 2; resample the mask"),
        (values, moved, r"the mask \(m\.nii\) lies 3\.00 mm away from the scan at a corner.*; resample the mask"),
        (
            np.stack([values, values], -1),
            AFFINE,
            r"m\.nii: 4 × 3 × 2 × 2, but 1 volume is needed",
        ),
        (values / 2, AFFINE, r"m\.nii: 0 of 24 voxels are above 0\.5; give a mask that holds voxels"),
    ):
        nib.save(nib.Nifti1Image(data, affine), tmp_path / "m.nii")
        with pytest.raises(ScanError, match=says):
            read_mask(tmp_path / "m.nii", "the scan", SHAPE, AFFINE)
    with pytest.raises(ScanError, match="no such file"):
        read_mask(tmp_path / "none.nii", "the scan", SHAPE, AFFINE)
    with pytest.raises(ScanError, match="give a seeds image that holds voxels"):
        read_mask(tmp_path / "m.nii", "the scan", SHAPE, AFFINE, what="seeds image")
