"""The acceptance matrix: a bundle of known direction, through every geometry, gradient convention and reading program.

A simulated scan is written to disk, read, deconvolved by a network trained as users train it, and written; MRtrix3, our
own peaks and DIPY must then find the direction within one degree, in every cell, as peaks and as streamlines.
"""

import shutil
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from dipy.direction import DeterministicMaximumDirectionGetter, peak_directions
from dipy.reconst.shm import sh_to_sf
from dipy.tracking.local_tracking import LocalTracking
from dipy.tracking.stopping_criterion import BinaryStoppingCriterion

import shd
from shd.fitting.fit import DEGREE
from shd.graphs.hemisphere import vertex_directions
from shd.io.fixel_folder import read_fixels
from shd.io.fodf import read_fod_for_dipy
from shd.io.peaks import read_peaks
from shd.sphere.directions import axial_angle, normalised
from tests.interop.matrix import (
    SETTINGS,
    SHAPE,
    TRUTH,
    WITHIN,
    cells,
    farthest,
    farthest_tangent,
    run_mrtrix,
    simulated,
)
from tests.support.affines import AFFINES

mrtrix = pytest.mark.mrtrix
installed = pytest.mark.skipif(shutil.which("sh2peaks") is None, reason="MRtrix3 programs are not installed")


@pytest.mark.parametrize("flip", [np.diag([-1, 1, 1]), np.diag([1, -1, 1]), np.diag([1, 1, -1]), np.eye(3)[[1, 0, 2]],
                                  np.eye(3)[[0, 2, 1]], np.eye(3)[[2, 1, 0]], np.eye(3)[[1, 2, 0]]])  # fmt: skip
def test_any_confusion_of_axes_would_be_seen(flip):
    assert axial_angle((flip @ TRUTH)[None], TRUTH[None])[0] > 25 * WITHIN


@cells
@mrtrix
@installed
def test_mrtrix_finds_the_direction_in_our_fods(results, tmp_path, affine, convention):
    """Its search starts at 60 directions by default, too few for degree 12: it can miss the one peak there is."""
    fods = results(affine, convention) / "wm_fod.nii.gz"
    x, y, z = vertex_directions(4, hemisphere=True).T
    np.savetxt(tmp_path / "seeds.txt", np.stack([np.arctan2(y, x), np.arccos(z)], axis=1))
    run_mrtrix("sh2peaks", "-num", 1, "-seeds", tmp_path / "seeds.txt", fods, tmp_path / "peaks.nii")
    assert farthest(read_peaks(tmp_path / "peaks.nii")[0].directions) < WITHIN


@cells
@mrtrix
@installed
def test_fod2fixel_finds_the_direction(results, tmp_path, affine, convention):
    fods = results(affine, convention) / "wm_fod.nii.gz"
    measures = ["-afd", "afd.mif", "-peak_amp", "peak.mif"]
    run_mrtrix("fod2fixel", "-maxnum", 1, "-dirpeak", *measures, fods, tmp_path / "fixels")
    fixels, inside, _ = read_fixels(tmp_path / "fixels")
    assert inside.all()
    assert farthest(fixels.directions) < WITHIN


@cells
@mrtrix
@installed
def test_tckgen_follows_the_direction(results, tmp_path, affine, convention):
    """The cutoff keeps it from starting along the side lobes of so quick a fit, which it finds from some seeds."""
    out = results(affine, convention)
    cutoff = 0.6 * np.median(read_peaks(out / "peaks.nii.gz")[0].amplitudes[..., 0])
    seeding = ["-seed_image", out / "mask.nii.gz", "-select", 5, "-minlength", 2, "-cutoff", cutoff]
    run_mrtrix("tckgen", "-algorithm", "SD_STREAM", *seeding, out / "wm_fod.nii.gz", tmp_path / "tracks.tck")
    assert farthest_tangent(nib.streamlines.load(tmp_path / "tracks.tck").streamlines, least=5) < WITHIN


@cells
def test_our_peaks_hold_the_direction(results, affine, convention):
    peaks = read_peaks(results(affine, convention) / "peaks.nii.gz")[0]
    assert farthest(peaks.directions[..., 0, :]) < WITHIN


@cells
def test_dipy_finds_the_direction_in_voxel_axes(results, fine_sphere, affine, convention):
    coefficients, grid = read_fod_for_dipy(results(affine, convention) / "wm_fod.nii.gz")
    sampled = sh_to_sf(coefficients, fine_sphere, sh_order_max=DEGREE, basis_type="tournier07", legacy=False)
    highest = partial(peak_directions, sphere=fine_sphere, relative_peak_threshold=0.5)
    found = np.stack([highest(values.astype(float))[0][0] for values in sampled.reshape(-1, len(fine_sphere.vertices))])
    assert farthest(found @ normalised(grid[:3, :3].T)) < WITHIN


@cells
def test_dipys_tracking_follows_the_direction(results, fine_sphere, affine, convention):
    coefficients, grid = read_fod_for_dipy(results(affine, convention) / "wm_fod.nii.gz")
    getter = DeterministicMaximumDirectionGetter.from_shcoeff(
        coefficients, max_angle=30, sphere=fine_sphere, basis_type="tournier07", legacy=False, sh_to_pmf=True
    )
    seeds = np.array([[1.6, 1.7, 1.5], [1.4, 1.2, 1.6]]) @ grid[:3, :3].T + grid[:3, 3]
    stopping = BinaryStoppingCriterion(np.ones(SHAPE, bool))
    lines = list(LocalTracking(getter, stopping, seeds, grid, step_size=0.5, random_seed=1, return_all=False))
    assert farthest_tangent(lines, least=2) < WITHIN


@pytest.mark.parametrize("affine", AFFINES)
def test_a_fit_of_its_own_finds_it_too(affine):
    """The same, trained in each geometry and not inferred."""
    phantom = simulated(affine)
    result = shd.fit(phantom.scan, phantom.responses, SETTINGS)
    assert farthest(result.peaks.directions[..., 0, :]) < WITHIN
