"""Fixel folders: back as they were, as MRtrix3 reads them, and what cannot be one is refused."""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from shd.errors import FormatError, ScanError
from shd.fodf.lobes import Fixels, fixels_of
from shd.io.fixel_folder import read_fixels, write_fixels
from shd.io.fodf import write_fod
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.harmonics import even_harmonics, gaussian_factors
from tests.interop.known_fods import GRIDS

SHAPE = (5, 4, 3)
endings = pytest.mark.parametrize("ending", ["mif", "nii"])


def fods():
    """Two fibres of unequal size a voxel, in a mask with a hole; coefficients on the grid."""
    rng = np.random.default_rng(0)
    axes = normalised(rng.standard_normal((*SHAPE, 2, 3)))
    each = even_harmonics(axes.reshape(-1, 3), 8).reshape(*SHAPE, 2, -1) * gaussian_factors(8, 12.0)
    mask = np.ones(SHAPE, bool)
    mask[2, 1] = False
    return ((each[..., 0, :] + 0.5 * each[..., 1, :]) * mask[..., None]).astype(np.float32), mask


def written(folder, frame, ending):
    field, mask = fods()
    fixels = fixels_of(field[mask])
    write_fixels(folder, fixels, mask, GRIDS[frame], ending)
    return fixels, mask, field


@endings
@pytest.mark.parametrize("frame", ["LAS", "oblique LAS", "permuted"])
def test_round_trip(tmp_path, frame, ending):
    fixels, mask, _ = written(tmp_path / "fixels", frame, ending)
    read, inside, affine = read_fixels(tmp_path / "fixels")
    np.testing.assert_array_equal(inside, mask)
    np.testing.assert_allclose(affine, GRIDS[frame], atol=1e-5)
    np.testing.assert_array_equal(read.offsets, fixels.offsets)
    for name in ("directions", "afd", "amplitudes", "dispersion"):
        np.testing.assert_array_equal(getattr(read, name), getattr(fixels, name))


def test_nii_is_nifti_2_and_nothing_stands_beside_it(tmp_path):
    fixels, _, _ = written(tmp_path / "fixels", "RAS", "nii")
    assert sorted(path.name for path in (tmp_path / "fixels").iterdir()) == [
        "afd.nii", "directions.nii", "disp.nii", "index.nii", "peak.nii",
    ]  # fmt: skip
    for path in (tmp_path / "fixels").iterdir():
        assert isinstance(nib.load(path), nib.Nifti2Image)
    assert nib.load(tmp_path / "fixels" / "directions.nii").shape == (len(fixels.afd), 3, 1)
    assert nib.load(tmp_path / "fixels" / "index.nii").get_data_dtype() == np.uint32


def test_no_fixel_at_all(tmp_path):
    nothing = Fixels(np.array([0, 0]), *np.zeros((2, 0, 3), np.float32), *np.zeros((2, 0), np.float32))
    with pytest.raises(FormatError, match="0 fixels"):
        write_fixels(tmp_path / "fixels", nothing, np.ones((1, 1, 1), bool), np.eye(4))
    assert not (tmp_path / "fixels").exists()


@pytest.mark.parametrize("ending, message", [("nii1", "NIfTI-1 holds up to 32,767"), ("tif", "tif: unknown; give mif")])
def test_what_cannot_hold_fixels_is_refused(tmp_path, ending, message):
    with pytest.raises(FormatError, match=message):
        written(tmp_path / "fixels", "RAS", ending)
    assert not (tmp_path / "fixels").exists()


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ScanError, match=r"no index\.mif or index\.nii"):
        read_fixels(tmp_path)


def test_an_index_beyond_the_list_is_refused(tmp_path):
    written(tmp_path / "fixels", "RAS", "nii")
    image = nib.load(tmp_path / "fixels" / "afd.nii")
    nib.save(nib.Nifti2Image(np.asarray(image.dataobj)[:-1], image.affine), tmp_path / "fixels" / "afd.nii")
    with pytest.raises(ScanError, match=r"counts \d+ fixels but \d+ are listed"):
        read_fixels(tmp_path / "fixels")


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("fixel2voxel") is None, reason="MRtrix3 programs are not installed")
@endings
@pytest.mark.parametrize("frame", ["LAS", "permuted"])
class TestWithMrtrix:
    def run(self, *words):
        ran = subprocess.run([*map(str, words), "-quiet", "-nthreads", "0"], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr

    def test_fixel2voxel_sums_and_counts_what_we_wrote(self, tmp_path, frame, ending):
        fixels, mask, _ = written(tmp_path / "fixels", frame, ending)
        for measure, expected in (("sum", fixels.table(fixels.afd, 8).sum(axis=1)), ("count", fixels.numbers)):
            self.run("fixel2voxel", tmp_path / "fixels" / f"afd.{ending}", measure, tmp_path / f"{measure}.nii")
            values = nib.load(tmp_path / f"{measure}.nii")
            np.testing.assert_allclose(values.affine, GRIDS[frame], atol=1e-5)
            np.testing.assert_allclose(np.asarray(values.dataobj)[mask], expected, rtol=1e-5)
            assert not np.asarray(values.dataobj)[~mask].any()

    def test_fod2fixels_own_folder_is_read_like_ours(self, tmp_path, frame, ending):
        """The densest fixel of each voxel, of whichever program: one direction, density and height."""
        ours, mask, field = written(tmp_path / "fixels", frame, ending)
        write_fod(tmp_path / "fod.nii.gz", field, GRIDS[frame])
        measures = ["-afd", f"afd.{ending}", "-peak_amp", f"peak.{ending}", *(["-nii"] if ending == "nii" else [])]
        self.run("fod2fixel", "-maxnum", 1, *measures, tmp_path / "fod.nii.gz", tmp_path / "theirs")
        theirs, inside, affine = read_fixels(tmp_path / "theirs")
        place = np.rint(
            np.linalg.inv(GRIDS[frame]) @ affine @ np.vstack([np.argwhere(inside).T, np.ones(inside.sum())])
        )
        row = np.zeros(SHAPE, int)
        row[mask] = np.arange(mask.sum())
        voxels = row[tuple(place[:3].astype(int))]
        angles = axial_angle(ours.table(ours.directions, 1)[voxels, 0].astype(float), theirs.directions.astype(float))
        assert np.median(angles) < 0.5 and np.quantile(angles, 0.9) < 3
        np.testing.assert_allclose(np.median(theirs.afd / ours.table(ours.afd, 1)[voxels, 0]), 1.0, atol=0.01)
