"""A result's folder is read back as it was written; what is not whole is refused."""

import json

import nibabel as nib
import numpy as np
import pytest

from shd.errors import ScanError
from shd.io.fit_folder import read_fit_folder
from shd.io.fodf import write_fod, write_scalar
from shd.io.images import write_image
from tests.support.affines import AFFINES

SHAPE, AFFINE = (3, 4, 5), AFFINES["oblique"]


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    mask = np.zeros(SHAPE, bool)
    mask[1:, 1:] = True
    write_fod(tmp_path / "wm_fod.nii.gz", generator.standard_normal((*SHAPE, 45)), AFFINE, mask, {"NonNegativity": "x"})
    write_scalar(tmp_path / "gm.nii.gz", np.full(SHAPE, 2.0), AFFINE)
    write_image(tmp_path / "mask.nii.gz", [mask.astype(np.float32)], SHAPE, AFFINE, {})
    (tmp_path / "run.json").write_text(json.dumps({"degree": 8}))
    return tmp_path, mask


def test_everything_comes_back(folder):
    path, mask = folder
    stored = read_fit_folder(path)
    assert stored.fod.degree == 8
    assert np.array_equal(stored.fod.mask, mask)
    assert np.array_equal(stored.fod.wm.any(axis=-1), mask)
    assert stored.fod.isotropic.keys() == {"gm"}
    assert (stored.fod.isotropic["gm"] == 2).all()
    assert np.allclose(stored.fod.affine, AFFINE)
    assert stored.sidecars["wm"]["NonNegativity"] == "x"
    assert stored.record == {"degree": 8}


def test_an_image_alone_has_the_mask_of_its_values(folder):
    path, mask = folder
    stored = read_fit_folder(path / "wm_fod.nii.gz")
    assert np.array_equal(stored.fod.mask, mask)
    assert stored.fod.isotropic == {}
    assert stored.record == {}


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ScanError, match=r"1 file but no wm_fod\.nii\.gz; give the folder"):
        read_fit_folder(tmp_path)


def test_a_mask_of_another_grid_is_refused(folder):
    path, mask = folder
    nib.save(nib.Nifti1Image(mask[1:].astype(np.uint8), AFFINE), path / "mask.nii.gz")
    with pytest.raises(ScanError, match=r"2 × 4 × 5 voxels but .* resample the mask"):
        read_fit_folder(path)


def test_a_record_that_is_no_json_is_refused(folder):
    (folder[0] / "run.json").write_text("{")
    with pytest.raises(ScanError, match="not readable as JSON"):
        read_fit_folder(folder[0])
