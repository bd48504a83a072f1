import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from dipy.core.sphere import unit_icosahedron
from dipy.reconst.odf import gfa
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import ScanError
from shd.fodf.lobes import fixels_of
from shd.fodf.peaks import Peaks, find_peaks
from shd.fodf.scalar_maps import (
    direction_encoded_colours,
    fixels_at_peaks,
    generalised_anisotropy,
    tissue_fractions,
    total_density,
)
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.harmonics import coefficient_count, even_harmonics, gaussian_factors
from shd.sphere.rotations import random_rotation, rotate_harmonics

FULL = np.sqrt(4 * np.pi)


def crossings(voxels, degree=8, seed=0, noise=0.005, width=12.0):
    """Two fibres of unequal weight, Gaussians of this width (°), with noise that makes no peak of its own above 0.1."""
    rng = np.random.default_rng(seed)
    first, second = normalised(rng.standard_normal((2, voxels, 3)))
    share = rng.uniform(0.3, 0.7, (voxels, 1))
    exact = share * even_harmonics(first, degree) + (1 - share) * even_harmonics(second, degree)
    exact *= gaussian_factors(degree, width)
    return (exact + noise * rng.standard_normal(exact.shape)).astype(np.float32)


def test_total_density_is_the_integral():
    fields = crossings(50)
    dense = fields @ even_harmonics(half_sphere(20000), 8).T
    np.testing.assert_allclose(total_density(fields), 4 * np.pi * dense.mean(axis=1), rtol=1e-3)


def test_a_voxel_full_of_one_population_has_density_one():
    assert total_density(even_harmonics(np.array([[0.0, 0.6, 0.8]]), 12))[0] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("degree", [4, 8, 12])
def test_generalised_anisotropy_equals_dipys(degree):
    fields = crossings(40, degree)
    dense = fields.astype(float) @ even_harmonics(half_sphere(8000), degree).T
    np.testing.assert_allclose(generalised_anisotropy(fields), gfa(dense), atol=2e-4)


def test_generalised_anisotropy_of_a_sphere_and_of_nothing_is_zero():
    fields = np.zeros((2, 45), np.float32)
    fields[0, 0] = 1.0
    assert generalised_anisotropy(fields).tolist() == [0.0, 0.0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
def test_anisotropy_does_not_depend_on_axes_nor_scale(seed, scale):
    field = crossings(1, seed=seed % 1000)
    turned = rotate_harmonics(field, random_rotation(np.random.default_rng(seed)), 8)
    np.testing.assert_allclose(generalised_anisotropy(scale * turned), generalised_anisotropy(field), rtol=1e-4)


@pytest.mark.parametrize("degree", [2, 8, 12])
def test_colours_equal_a_sum_over_a_dense_sphere(degree):
    fields = crossings(30, degree)
    grid = half_sphere(40000)
    means = np.maximum((fields.astype(float) @ even_harmonics(grid, degree).T) @ np.abs(grid), 0.0)
    expected = normalised(means) * total_density(fields)[:, None]
    np.testing.assert_allclose(direction_encoded_colours(fields), expected, atol=2e-4)


def test_colours_of_fibres_along_the_axes():
    """A band-limited fibre has most of its own colour, and equal parts of the others."""
    colours = direction_encoded_colours(even_harmonics(np.eye(3), 12))
    assert (colours.argmax(axis=1) == [0, 1, 2]).all()
    np.testing.assert_allclose(np.linalg.norm(colours, axis=1), 1.0, rtol=1e-5)
    others = colours[~np.eye(3, dtype=bool)]
    assert others.max() < 0.15 and np.ptp(others) < 1e-6


def test_negative_and_empty_fods_are_black():
    fields = np.zeros((2, 15), np.float32)
    fields[1, 0] = -1.0
    assert not direction_encoded_colours(fields).any()


def test_fractions_sum_to_one_and_their_sum_is_in_full_voxels():
    rng = np.random.default_rng(0)
    amounts = {tissue: rng.uniform(-0.1, 1.0, 100) for tissue in ("wm", "gm", "csf")}
    shares, total = tissue_fractions(amounts)
    np.testing.assert_allclose(sum(shares.values()), 1.0, rtol=1e-6)
    np.testing.assert_allclose(total, FULL * sum(np.maximum(values, 0) for values in amounts.values()), rtol=1e-6)
    assert all((share >= 0).all() for share in shares.values())


def test_where_there_is_no_tissue_all_fractions_are_zero():
    shares, total = tissue_fractions({"wm": np.array([0.0, 1.0, np.nan]), "gm": np.array([-1.0, 1.0, 0.5])})
    assert shares["wm"].tolist() == [0.0, 0.5, 0.0] and shares["gm"].tolist() == [0.0, 0.5, 1.0]
    assert total[0] == 0.0


def test_no_tissue_anywhere_is_refused():
    with pytest.raises(ScanError, match="0 of 4 voxels in the mask hold any tissue"):
        tissue_fractions({"wm": np.full(4, -1.0)})


def test_lobes_stand_where_their_peaks_do():
    fields = crossings(200)
    peaks = find_peaks(fields, count=3)
    fixels = fixels_of(fields, amplitude_threshold=0.0)
    density, dispersion = fixels_at_peaks(fixels, peaks)
    for voxel in range(200):
        own = slice(*fixels.offsets[voxel : voxel + 2])
        for peak in range(peaks.numbers[voxel]):
            axis = np.broadcast_to(peaks.directions[voxel, peak], fixels.peak_directions[own].shape)
            lobe = axial_angle(axis.astype(float), fixels.peak_directions[own].astype(float)).argmin()
            assert density[voxel, peak] == fixels.afd[own][lobe]
            assert dispersion[voxel, peak] == pytest.approx(fixels.afd[own][lobe] / fixels.amplitudes[own][lobe])
            assert peaks.amplitudes[voxel, peak] == pytest.approx(fixels.amplitudes[own][lobe], rel=1e-4)
    assert not density[peaks.amplitudes == 0].any() and not dispersion[peaks.amplitudes == 0].any()


def test_a_peak_without_a_lobe_has_none():
    fields = crossings(1)
    stray = Peaks(np.array([[[0.0, 0.0, 1.0]]], np.float32), np.ones((1, 1), np.float32))
    fixels = fixels_of(even_harmonics(np.array([[1.0, 0.0, 0.0]]), 8), amplitude_threshold=0.5)
    assert fixels_at_peaks(fixels, stray)[0].tolist() == [[0.0]]
    nothing = fixels_of(0 * fields)
    assert fixels_at_peaks(nothing, stray)[0].tolist() == [[0.0]]


@pytest.fixture
def stored(tmp_path):
    """fODFs of a grid as MRtrix3 reads them."""
    fields = crossings(216)
    nib.save(nib.Nifti1Image(fields.reshape(6, 6, 6, -1), np.diag([-2.0, 2.0, 2.0, 1.0])), tmp_path / "fod.nii")
    return fields, tmp_path


def run(folder, *commands):
    for command in commands:
        subprocess.run(command.split(), cwd=folder, check=True, timeout=60, capture_output=True)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("fod2dec") is None, reason="MRtrix3's fod2dec is not installed")
def test_colours_are_what_fod2dec_approximates(stored):
    """It sums over the 1281 axes of an icosahedron, which are unevenly dense; we integrate exactly."""
    fields, folder = stored
    run(folder, "fod2dec -quiet fod.nii dec.nii")
    theirs = nib.load(folder / "dec.nii").get_fdata().reshape(-1, 3)
    grid = unit_icosahedron.subdivide(n=4).vertices
    amplitudes = fields.astype(float) @ even_harmonics(grid, 8).T
    summed = normalised(amplitudes @ np.abs(grid)) * 4 * np.pi * amplitudes.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(theirs, summed, atol=1e-5)
    np.testing.assert_allclose(direction_encoded_colours(fields), theirs, atol=0.05)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("fod2fixel") is None, reason="MRtrix3's fod2fixel is not installed")
def test_densities_agree_with_fod2fixel(stored):
    fields, folder = stored
    run(
        folder,
        "fod2fixel -quiet fod.nii fixels -afd afd.mif -disp disp.mif",
        "fixel2voxel -quiet fixels/afd.mif sum sum.nii",
        "fixel2voxel -quiet fixels/afd.mif none -number 2 afd.nii",
        "fixel2voxel -quiet fixels/disp.mif none -number 2 disp.nii",
    )
    theirs = {name: nib.load(folder / f"{name}.nii").get_fdata().reshape(216, -1) for name in ("sum", "afd", "disp")}
    peaks = find_peaks(fields, relative_threshold=0.0, absolute_threshold=0.1)
    density, dispersion = fixels_at_peaks(fixels_of(fields, amplitude_threshold=0.0), peaks)
    np.testing.assert_allclose(density.sum(axis=1), theirs["sum"][:, 0], rtol=5e-3)
    np.testing.assert_allclose(total_density(fields), theirs["sum"][:, 0], rtol=0.05)  # less the negative lobes
    # of touching lobes, directions between them count differently: see `fixels_of`
    apart = np.abs(np.sort(density, axis=1)[:, -2:] - np.sort(theirs["afd"], axis=1)).max(axis=1)
    assert np.median(apart) < 0.005 and np.percentile(apart, 80) < 0.02
    rows, largest, theirs_largest = np.arange(216), density.argmax(axis=1), theirs["afd"].argmax(axis=1)
    ratios = dispersion[rows, largest] / theirs["disp"][rows, theirs_largest]
    assert np.median(np.abs(ratios - 1)) < 0.005 and np.percentile(np.abs(ratios - 1), 95) < 0.05


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("sh2peaks") is None, reason="MRtrix3's sh2peaks is not installed")
def test_counts_equal_those_of_sh2peaks(stored):
    fields, folder = stored
    run(folder, "sh2peaks -quiet -num 8 -threshold 0.1 fod.nii peaks.nii")
    theirs = np.isfinite(nib.load(folder / "peaks.nii").get_fdata().reshape(216, 8, 3)).all(axis=2).sum(axis=1)
    ours = find_peaks(fields, count=8, relative_threshold=0.0, absolute_threshold=0.1).numbers
    assert (ours == theirs).mean() > 0.99


def test_any_degree_has_a_density():
    for degree in (0, 2, 16):
        field = np.zeros((1, coefficient_count(degree)), np.float32)
        field[0, 0] = 1 / FULL
        assert total_density(field)[0] == pytest.approx(1.0)
        colours = direction_encoded_colours(field)[0]
        np.testing.assert_allclose(colours, np.sqrt(1 / 3), rtol=1e-6)
