"""MRtrix3 reads our images and finds the directions we wrote, on every orientation of grid."""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from shd.fodf.peaks import find_peaks
from shd.io.fodf import write_fod, write_scalar
from shd.io.peaks import read_peaks, write_peaks
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.harmonics import even_harmonics
from tests.interop.known_fods import (
    GRIDS,
    SHAPE,
    TRUTH,
    inside,
    scattered_fibres,
    single_fibre,
    straight_bundle,
    wrong_by_reflection,
)

pytestmark = [
    pytest.mark.mrtrix,
    pytest.mark.skipif(shutil.which("sh2peaks") is None, reason="MRtrix3 programs are not installed"),
]
frames = pytest.mark.parametrize("frame", GRIDS)


def run(*words):
    command = [str(word) for word in words]
    done = subprocess.run([*command, "-quiet", "-nthreads", "0"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def to_truth(directions):
    return axial_angle(directions.astype(float), np.broadcast_to(TRUTH, directions.shape))


def tracked_angles(tck, affine, least):
    streamlines = nib.streamlines.load(tck).streamlines
    assert len(streamlines) >= least
    assert all(inside(line, affine) for line in streamlines)
    return to_truth(normalised(np.stack([line[-1] - line[0] for line in streamlines])))


@frames
def test_sh2peaks_finds_every_voxels_own_direction(tmp_path, frame):
    coefficients, axes = scattered_fibres()
    write_fod(tmp_path / "fod.nii.gz", coefficients, GRIDS[frame])
    run("sh2peaks", "-num", 1, tmp_path / "fod.nii.gz", tmp_path / "peaks.nii")
    theirs, _, _ = read_peaks(tmp_path / "peaks.nii")
    assert axial_angle(theirs.directions[..., 0, :].astype(float), axes).max() < 0.02
    np.testing.assert_allclose(theirs.amplitudes[..., 0], 1.0, rtol=1e-5)


def test_a_wrong_frame_would_be_noticed(tmp_path):
    coefficients, axes = scattered_fibres()
    write_fod(tmp_path / "fod.nii.gz", wrong_by_reflection(coefficients), GRIDS["LAS"])
    run("sh2peaks", "-num", 1, tmp_path / "fod.nii.gz", tmp_path / "peaks.nii")
    theirs, _, _ = read_peaks(tmp_path / "peaks.nii")
    assert np.median(axial_angle(theirs.directions[..., 0, :].astype(float), axes)) > 20


@pytest.mark.parametrize("degree", [0, 8, 12])
def test_sh2amp_evaluates_the_same_function(tmp_path, degree):
    coefficients, _ = scattered_fibres(degree)
    directions = half_sphere(30)
    np.savetxt(tmp_path / "directions.txt", directions)
    write_fod(tmp_path / "fod.nii.gz", coefficients, GRIDS["oblique LAS"])
    run("sh2amp", tmp_path / "fod.nii.gz", tmp_path / "directions.txt", tmp_path / "amp.nii")
    theirs = np.asarray(nib.load(tmp_path / "amp.nii").dataobj)
    ours = coefficients.astype(float) @ even_harmonics(directions, degree).T
    np.testing.assert_allclose(theirs, ours, atol=1e-6)


@frames
def test_fod2fixel_finds_the_direction(tmp_path, frame):
    write_fod(tmp_path / "fod.nii.gz", straight_bundle(), GRIDS[frame])
    run("fod2fixel", "-fmls_peak_value", 0.5, tmp_path / "fod.nii.gz", tmp_path / "fixels")
    run("fixel2peaks", "-number", 1, tmp_path / "fixels", tmp_path / "peaks.nii")
    peaks, _, _ = read_peaks(tmp_path / "peaks.nii")
    assert to_truth(peaks.directions).max() < 1.0


@frames
def test_tckgen_follows_the_bundle(tmp_path, frame):
    affine = GRIDS[frame]
    write_fod(tmp_path / "fod.nii.gz", straight_bundle(), affine)
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), affine), tmp_path / "mask.nii")
    seeding = ["-seed_image", tmp_path / "mask.nii", "-select", 20, "-minlength", 6]
    run("tckgen", "-algorithm", "SD_STREAM", *seeding, tmp_path / "fod.nii.gz", tmp_path / "tracks.tck")
    assert tracked_angles(tmp_path / "tracks.tck", affine, least=20).max() < 1.0


@frames
def test_tckgen_follows_our_peaks(tmp_path, frame):
    affine = GRIDS[frame]
    peaks = find_peaks(straight_bundle().reshape(-1, 45), count=2, relative_threshold=0.5)
    write_peaks(tmp_path / "peaks.nii.gz", peaks.on_grid(np.ones(SHAPE, bool)), affine)
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), affine), tmp_path / "mask.nii")
    seeding = ["-seed_image", tmp_path / "mask.nii", "-select", 20, "-minlength", 6]
    run("tckgen", "-algorithm", "FACT", *seeding, tmp_path / "peaks.nii.gz", tmp_path / "tracks.tck")
    assert tracked_angles(tmp_path / "tracks.tck", affine, least=20).max() < 1.0


def test_peaks_files_are_read_like_sh2peaks_own(tmp_path):
    """Same layout as sh2peaks writes, and `peaks2amp` reads the amplitudes."""
    field = np.stack([single_fibre([0, 0, 1]) + 0.5 * single_fibre([1, 0, 0]), 0.7 * single_fibre([0, 1, 0])])
    coefficients = np.broadcast_to(field[:, None, None], (2, 3, 2, 45)).astype(np.float32)
    write_fod(tmp_path / "fod.nii.gz", coefficients, GRIDS["oblique"])
    run("sh2peaks", "-num", 2, "-threshold", 0.4, tmp_path / "fod.nii.gz", tmp_path / "theirs.nii")
    peaks = find_peaks(coefficients.reshape(-1, 45), count=2, absolute_threshold=0.4)
    write_peaks(tmp_path / "ours.nii", peaks.on_grid(np.ones((2, 3, 2), bool)), GRIDS["oblique"])
    for name in ("theirs", "ours"):
        run("peaks2amp", tmp_path / f"{name}.nii", tmp_path / f"{name}_amp.nii")
    assert run("mrinfo", "-size", tmp_path / "ours.nii").split() == ["2", "3", "2", "6"]
    ours, theirs = (np.asarray(nib.load(tmp_path / f"{name}.nii").dataobj) for name in ("ours", "theirs"))
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.isnan(ours).any()
    ours, theirs = (np.asarray(nib.load(tmp_path / f"{name}_amp.nii").dataobj) for name in ("ours", "theirs"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_mtnormalise_takes_fods_with_an_isotropic_tissue(tmp_path):
    rng = np.random.default_rng(0)
    shape, affine = (12, 12, 12), GRIDS["LAS"]
    share = rng.uniform(0.2, 0.8, shape)
    write_fod(tmp_path / "wm.nii.gz", (share[..., None] * single_fibre(TRUTH)).astype(np.float32), affine)
    write_scalar(tmp_path / "csf.nii.gz", ((1 - share) / np.sqrt(4 * np.pi)).astype(np.float32), affine)
    nib.save(nib.Nifti1Image(np.ones(shape, np.uint8), affine), tmp_path / "mask.nii")
    images = [tmp_path / name for name in ("wm.nii.gz", "wm_norm.nii", "csf.nii.gz", "csf_norm.nii")]
    run("mtnormalise", *images, "-mask", tmp_path / "mask.nii")
    assert nib.load(tmp_path / "csf_norm.nii").shape[:3] == shape
