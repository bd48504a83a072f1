import json

import nibabel as nib
import numpy as np
import pytest

from shd.errors import FormatError
from shd.fodf.peaks import Peaks
from shd.io.peaks import read_peaks, write_peaks
from shd.sphere.directions import normalised

AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])


def random_peaks(shape=(3, 4, 5), count=3):
    rng = np.random.default_rng(0)
    directions = normalised(rng.standard_normal((*shape, count, 3)))
    directions = np.where(directions[..., 2:] < 0, -directions, directions).astype(np.float32)
    amplitudes = rng.uniform(0.1, 1.0, (*shape, count)).astype(np.float32)
    amplitudes[0, :, :, 1:] = 0.0
    return Peaks(np.where(amplitudes[..., None] > 0, directions, np.float32(0)), amplitudes)


def test_round_trip(tmp_path):
    peaks = random_peaks()
    write_peaks(tmp_path / "peaks.nii.gz", peaks, AFFINE, {"Model": {"Description": "x"}})
    read, affine, sidecar = read_peaks(tmp_path / "peaks.nii.gz", ranked=False)
    np.testing.assert_allclose(read.directions, peaks.directions, atol=1e-6)
    np.testing.assert_allclose(read.amplitudes, peaks.amplitudes, rtol=1e-6)
    np.testing.assert_array_equal(affine, AFFINE)
    assert sidecar["OrientationEncoding"]["Type"] == "3vector"
    assert sidecar["OrientationEncoding"]["Reference"] == "xyz"
    assert sidecar["Model"] == {"Description": "x"}


def test_volumes_are_vectors_as_long_as_the_amplitude_and_nan_where_absent(tmp_path):
    peaks = random_peaks()
    write_peaks(tmp_path / "peaks.nii", peaks, AFFINE)
    data = np.asarray(nib.load(tmp_path / "peaks.nii").dataobj)
    assert data.shape == (3, 4, 5, 9) and data.dtype == np.float32
    np.testing.assert_allclose(data[1, 2, 3, 3:6], peaks.directions[1, 2, 3, 1] * peaks.amplitudes[1, 2, 3, 1])
    assert np.isnan(data[0, ..., 3:]).all() and np.isfinite(data[0, ..., :3]).all()


def test_zero_filled_files_are_read_too(tmp_path):
    write_peaks(tmp_path / "nan.nii", random_peaks(), AFFINE)
    data = np.nan_to_num(np.asarray(nib.load(tmp_path / "nan.nii").dataobj))
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "zero.nii")
    np.testing.assert_array_equal(
        read_peaks(tmp_path / "zero.nii")[0].directions, read_peaks(tmp_path / "nan.nii")[0].directions
    )


def test_peaks_come_highest_first_or_in_the_order_of_the_file(tmp_path):
    """Programs may write them in any order; what follows keeps the first few."""
    peaks = random_peaks()
    write_peaks(tmp_path / "p.nii", peaks, AFFINE)
    read, _, _ = read_peaks(tmp_path / "p.nii")
    order = np.argsort(-peaks.amplitudes, axis=-1, kind="stable")
    np.testing.assert_allclose(read.amplitudes, -np.sort(-peaks.amplitudes, axis=-1), rtol=1e-6)
    expected = np.take_along_axis(peaks.directions, order[..., None], axis=-2)
    np.testing.assert_allclose(read.directions, expected, atol=1e-6)
    kept, _, _ = read_peaks(tmp_path / "p.nii", ranked=False)
    np.testing.assert_allclose(kept.directions, peaks.directions, atol=1e-6)


def test_infinite_peaks_are_absent(tmp_path):
    data = np.ones((1, 1, 2, 6), np.float32)
    data[0, 0, 1, :3] = np.inf
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "p.nii")
    read, _, _ = read_peaks(tmp_path / "p.nii")
    np.testing.assert_allclose(read.amplitudes[0, 0], [[3**0.5] * 2, [3**0.5, 0]], rtol=1e-6)


def test_unit_peaks_keep_their_order(tmp_path):
    """They differ in length by rounding, which ranks nothing."""
    peaks = random_peaks()
    unit = Peaks(peaks.directions, (peaks.amplitudes > 0).astype(np.float32))
    write_peaks(tmp_path / "p.nii", unit, AFFINE)
    np.testing.assert_allclose(read_peaks(tmp_path / "p.nii")[0].directions, unit.directions, atol=1e-6)


def test_peaks_on_no_grid_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\(7, 3\).*on_grid"):
        write_peaks(tmp_path / "p.nii", Peaks(np.zeros((7, 3, 3)), np.zeros((7, 3))), AFFINE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(2, 2, 2, 4), (2, 2, 2)])
def test_images_of_other_shapes_are_refused(tmp_path, shape):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), AFFINE), tmp_path / "p.nii")
    with pytest.raises(FormatError, match=r"3·N.*peaks image"):
        read_peaks(tmp_path / "p.nii")


def test_sidecar_is_json(tmp_path):
    write_peaks(tmp_path / "p.nii", random_peaks(), AFFINE)
    assert json.loads((tmp_path / "p.json").read_text())["OrientationEncoding"]["AntipodalSymmetry"] is True
