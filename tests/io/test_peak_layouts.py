"""Peak images in every layout: as each program means them, and back."""

import json

import nibabel as nib
import numpy as np
import pytest

from shd.errors import FormatError
from shd.fodf.peaks import Peaks
from shd.io.peak_layouts import LAYOUTS, read_laid_out, stated_layout, values_path, write_laid_out
from shd.io.peaks import read_peaks, write_peaks
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.rotations import grid_rotation
from tests.interop.known_fods import GRIDS

SHAPE = (3, 4, 2)
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def peaks(count=5, seed=0):
    """0 to `count` peaks a voxel, highest first."""
    rng = np.random.default_rng(seed)
    directions = normalised(rng.standard_normal((*SHAPE, count, 3)))
    directions = np.where(directions[..., 2:] < 0, -directions, directions)
    amplitudes = -np.sort(-rng.uniform(0.2, 2.0, (*SHAPE, count)), axis=-1)
    absent = np.arange(count) >= rng.integers(0, count + 1, (*SHAPE, 1))
    amplitudes[absent], directions[absent] = 0.0, 0.0
    return Peaks(directions.astype(np.float32), amplitudes.astype(np.float32))


@layouts
@pytest.mark.parametrize("frame", ["oblique LAS", "permuted"])
def test_round_trip(tmp_path, layout, frame):
    given = peaks()
    write_laid_out(tmp_path / "p.nii.gz", given, GRIDS[frame], layout, {"Note": "kept"})
    read, affine, sidecar = read_laid_out(tmp_path / "p.nii.gz", layout)
    count = layout.count or 5
    np.testing.assert_allclose(read.amplitudes, given.amplitudes[..., :count], rtol=1e-6)
    present = given.amplitudes[..., :count] > 0
    first, second = given.directions[..., :count, :][present].astype(float), read.directions[present].astype(float)
    assert axial_angle(first, second).max() < 1e-3
    np.testing.assert_allclose(affine, GRIDS[frame], atol=1e-5)
    assert sidecar["Note"] == "kept" and stated_layout(sidecar) == layout.name


@layouts
def test_the_lowest_are_left_out_whatever_their_order(tmp_path, layout):
    """From a file that has the lowest first, the layout keeps the highest."""
    given = peaks(count=6)
    turned = Peaks(given.directions[..., ::-1, :].copy(), given.amplitudes[..., ::-1].copy())
    write_laid_out(tmp_path / "all.nii", turned, GRIDS["LAS"], LAYOUTS["mrtrix"])
    read, affine, _ = read_laid_out(tmp_path / "all.nii", LAYOUTS["mrtrix"])
    write_laid_out(tmp_path / "few.nii", read, affine, layout)
    count = layout.count or 6
    kept, _, _ = read_laid_out(tmp_path / "few.nii", layout, ranked=False)
    np.testing.assert_allclose(kept.amplitudes, given.amplitudes[..., :count], rtol=1e-5)


def test_values_rank_unit_vectors(tmp_path):
    given = peaks(count=5)
    turned = Peaks(given.directions[..., ::-1, :].copy(), given.amplitudes[..., ::-1].copy())
    write_laid_out(tmp_path / "p.nii", turned, GRIDS["LAS"], LAYOUTS["scilpy"])
    read, _, _ = read_laid_out(tmp_path / "p.nii", LAYOUTS["scilpy"])
    np.testing.assert_allclose(read.amplitudes, given.amplitudes, rtol=1e-6)


def test_mrtrix_layout_is_what_write_peaks_writes(tmp_path):
    write_laid_out(tmp_path / "a.nii", peaks(), GRIDS["oblique"], LAYOUTS["mrtrix"])
    write_peaks(tmp_path / "b.nii", peaks(), GRIDS["oblique"])
    np.testing.assert_array_equal(*(np.asarray(nib.load(tmp_path / name).dataobj) for name in ("a.nii", "b.nii")))
    np.testing.assert_array_equal(
        read_peaks(tmp_path / "a.nii")[0].amplitudes, read_peaks(tmp_path / "b.nii")[0].amplitudes
    )


def test_scilpys_has_fifteen_volumes_of_unit_vectors_in_voxel_axes_and_their_values(tmp_path):
    given = peaks(count=2)
    write_laid_out(tmp_path / "p.nii.gz", given, GRIDS["oblique LAS"], LAYOUTS["scilpy"])
    vectors = np.asarray(nib.load(tmp_path / "p.nii.gz").dataobj).reshape(*SHAPE, 5, 3)
    values = np.asarray(nib.load(tmp_path / "p_values.nii.gz").dataobj)
    np.testing.assert_allclose(
        np.linalg.norm(vectors, axis=-1), np.pad(given.amplitudes > 0, [(0, 0)] * 3 + [(0, 3)]), atol=1e-6
    )
    np.testing.assert_array_equal(values[..., :2], given.amplitudes)
    assert not values[..., 2:].any()
    in_scanner = vectors[..., :2, :] @ grid_rotation(GRIDS["oblique LAS"]).T
    alike = np.abs(np.sum(in_scanner * given.directions, axis=-1))
    np.testing.assert_allclose(alike, given.amplitudes > 0, atol=1e-6)
    assert json.loads((tmp_path / "p.json").read_text())["OrientationEncoding"]["Reference"] == "ijk"


def test_tractsegs_has_nine_volumes_zero_filled_in_scanner_axes(tmp_path):
    given = peaks()
    write_laid_out(tmp_path / "p.nii.gz", given, GRIDS["LAS"], LAYOUTS["tractseg"])
    data = np.asarray(nib.load(tmp_path / "p.nii.gz").dataobj)
    assert data.shape == (*SHAPE, 9) and np.isfinite(data).all()
    expected = (given.directions * given.amplitudes[..., None])[..., :3, :].reshape(data.shape)
    np.testing.assert_allclose(data, expected, atol=1e-6)


def test_unit_vectors_without_values_have_amplitude_one(tmp_path):
    write_laid_out(tmp_path / "p.nii.gz", peaks(), GRIDS["RAS"], LAYOUTS["scilpy"])
    values_path(tmp_path / "p.nii.gz").unlink()
    read, _, _ = read_laid_out(tmp_path / "p.nii.gz", LAYOUTS["scilpy"])
    np.testing.assert_allclose(read.amplitudes, peaks().amplitudes > 0, atol=1e-6)


def test_values_of_another_scan_are_refused(tmp_path):
    write_laid_out(tmp_path / "p.nii.gz", peaks(), GRIDS["RAS"], LAYOUTS["scilpy"])
    nib.save(nib.Nifti1Image(np.ones((3, 4, 3, 5), np.float32), np.eye(4)), values_path(tmp_path / "p.nii.gz"))
    with pytest.raises(FormatError, match=r"p_values\.nii\.gz is \(3, 4, 3, 5\) but p\.nii\.gz has 5 peaks"):
        read_laid_out(tmp_path / "p.nii.gz", LAYOUTS["scilpy"])


@layouts
def test_seven_volumes_are_no_peaks(tmp_path, layout):
    nib.save(nib.Nifti1Image(np.ones((3, 4, 2, 7), np.float32), np.eye(4)), tmp_path / "p.nii")
    with pytest.raises(FormatError, match=r"\(3, 4, 2, 7\), but peaks come as \(x, y, z, 3·N\)"):
        read_laid_out(tmp_path / "p.nii", layout)
