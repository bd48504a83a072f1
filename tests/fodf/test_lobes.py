"""Lobes against their definition, the whole integral, and MRtrix3's own segmentation."""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from shd.fodf.lobe_reference import reference_fixels
from shd.fodf.lobes import MOST, Fixels, fixels_of, solid_angles
from shd.fodf.peaks import BLOCK, find_peaks, peak_grid
from shd.io.fodf import write_fod
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.harmonics import even_harmonics, gaussian_factors
from shd.sphere.rotations import random_rotation, rotate_harmonics


def fods(axes, weights, degree=8, width=12.0):
    """Voxels of fibres along axes (voxel, fibre, 3), each spread to a Gaussian, of integral `weights`."""
    harmonics = even_harmonics(np.asarray(axes, float).reshape(-1, 3), degree) * gaussian_factors(degree, width)
    return np.einsum("vf,vfc->vc", weights, harmonics.reshape(*np.shape(weights), -1))


def random_fods(voxels, degree=8, seed=0, width=12.0):
    rng = np.random.default_rng(seed)
    axes = normalised(rng.standard_normal((voxels, 3, 3)))
    return fods(axes, rng.uniform(0.0, 0.6, (voxels, 3)), degree, width).astype(np.float32)


@pytest.mark.parametrize("degree", [2, 4, 8, 12])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_equals_the_reference(degree, noise):
    """By rounding, a direction on a border may fall to either side; now and then a climb steps over a shallow brim."""
    fields = random_fods(25, degree, seed=degree)
    fields += (noise * np.random.default_rng(1).standard_normal(fields.shape)).astype(np.float32)
    every, moved, alike = fixels_of(fields), [], 0
    for voxel, field in enumerate(fields):
        mine = slice(every.offsets[voxel], every.offsets[voxel + 1])
        theirs = reference_fixels(field)
        if len(theirs.afd) != mine.stop - mine.start:
            continue
        alike += 1
        first, second = np.argsort(every.amplitudes[mine]), np.argsort(theirs.amplitudes)
        np.testing.assert_allclose(every.amplitudes[mine][first], theirs.amplitudes[second], rtol=1e-5)
        ours, expected = every.peak_directions[mine][first], theirs.peak_directions[second]
        assert axial_angle(ours.astype(float), expected.astype(float)).max(initial=0) < 0.02
        direction = 4 * np.pi / len(peak_grid()[0]) * theirs.amplitudes.max(initial=0)
        moved.append(np.abs(every.afd[mine][first] - theirs.afd[second]) / direction)
    assert alike >= 24
    assert np.quantile(np.concatenate(moved), 0.9) < 1e-3 and np.concatenate(moved).max() < 3


def test_weights_integrate_harmonics_exactly():
    grid, _ = peak_grid()
    integrals = even_harmonics(grid, 16).T @ solid_angles()
    np.testing.assert_allclose(integrals, [np.sqrt(4 * np.pi), *np.zeros(152)], atol=1e-10)
    assert solid_angles().min() > 0.9 * solid_angles().max() / 1.2


def test_lobes_of_a_positive_function_hold_all_of_it():
    """Integrals of all lobes add up to √4π c₀₀ where nothing is negative."""
    fields = random_fods(200, degree=12, width=25.0)
    found = fixels_of(fields, amplitude_threshold=0.0)
    total = np.add.reduceat(found.afd, found.offsets[:-1])
    np.testing.assert_allclose(total, np.sqrt(4 * np.pi) * fields[:, 0], rtol=2e-3)


def test_each_of_two_fibres_far_apart_keeps_its_own_share():
    axes = [[[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]]]
    found = fixels_of(fods(axes, [[0.7, 0.3]], degree=12, width=14.0), count=2)
    np.testing.assert_allclose(found.afd, [0.7, 0.3], atol=0.02)
    assert axial_angle(found.directions.astype(float), np.array(axes[0])).max() < 0.2
    np.testing.assert_allclose(found.dispersion, found.afd / found.amplitudes)


def test_peaks_are_those_of_the_peak_finder():
    fields = random_fods(300)
    found, peaks = fixels_of(fields), find_peaks(fields, count=10, relative_threshold=0.0, separation_degrees=1.0)
    tall = np.sort(np.where(peaks.amplitudes >= 0.1, peaks.amplitudes, 0), axis=1)
    np.testing.assert_allclose(np.sort(found.table(found.amplitudes, 10), axis=1), tall, rtol=1e-5, atol=1e-6)


def test_turning_the_function_turns_its_lobes():
    fields = random_fods(60, seed=3)
    largest = fixels_of(fields)
    first, second = largest.table(largest.afd, 2).T
    fields = fields[first > 1.2 * second]  # whichever way the grid cuts, the same lobe stays the largest
    turn = random_rotation(np.random.default_rng(5)) @ np.diag([-1.0, 1.0, 1.0])
    before = fixels_of(fields, count=1)
    after = fixels_of(rotate_harmonics(fields, turn, 8), count=1)
    change = np.abs(after.afd / before.afd - 1)  # by where the grid cuts between lobes
    assert np.median(change) < 0.005 and change.max() < 0.1
    turned = before.peak_directions.astype(float) @ turn.T
    assert axial_angle(after.peak_directions.astype(float), turned).max() < 0.02


def test_a_wide_flat_lobe_is_one_fixel():
    """A fan has several tops on the grid: they climb to one peak, where `fod2fixel` would make several fixels."""
    angles = np.radians(np.linspace(-35, 35, 41))
    fan = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) @ random_rotation(np.random.default_rng(1)).T
    found = fixels_of(fods(fan[None], np.full((1, 41), 1 / 41), degree=8))
    assert found.numbers.tolist() == [1]
    assert found.afd[0] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("field", ["zero", "isotropic", "negative", "not finite", "ring"])
def test_what_has_no_isolated_maximum_has_no_fixel(field):
    coefficients = np.zeros((1, 45), np.float32)
    coefficients[0, 0] = {"isotropic": 1.0, "negative": -1.0, "not finite": np.nan}.get(field, 0.0)
    if field == "ring":
        coefficients[0, :6] = [1.0, 0, 0, -1.0, 0, 0]
    assert fixels_of(coefficients).offsets.tolist() == [0, 0]


def test_degree_0_and_no_voxel_have_no_fixel():
    assert fixels_of(np.ones((3, 1))).offsets.tolist() == [0, 0, 0, 0]
    assert fixels_of(np.ones((0, 45))).offsets.tolist() == [0]


def test_more_voxels_than_a_block_keep_their_order():
    fields = random_fods(BLOCK + 7)
    found = fixels_of(fields)
    last = fixels_of(fields[-1:])
    np.testing.assert_array_equal(found.afd[found.offsets[-2] :], last.afd)
    assert len(found.numbers) == BLOCK + 7


def test_thresholds_and_count_leave_out_the_small():
    fields = random_fods(100)
    found = fixels_of(fields, amplitude_threshold=0.3, afd_threshold=0.2, count=2)
    assert found.amplitudes.min() >= 0.3 and found.afd.min() >= 0.2 and found.numbers.max() <= 2
    whole = fixels_of(fields, amplitude_threshold=0.3, afd_threshold=0.2)
    np.testing.assert_array_equal(whole.table(whole.afd, 2), found.table(found.afd, 2))


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": MOST + 1}, {"amplitude_threshold": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be in"):
        fixels_of(random_fods(1), **wrong)


def test_rows_of_voxels():
    offsets = np.array([0, 2, 2, 3])
    each = np.arange(3, dtype=np.float32)
    fixels = Fixels(offsets, np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), each + 1, each + 1)
    assert fixels.table(fixels.afd, 2).tolist() == [[1, 2], [0, 0], [3, 0]]
    assert fixels.table(fixels.afd, 1).tolist() == [[1], [0], [3]]
    assert fixels.table(fixels.directions, 2).shape == (3, 2, 3)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("fod2fixel") is None, reason="MRtrix3 programs are not installed")
@pytest.mark.parametrize("degree", [8, 12])
def test_fod2fixel_measures_the_same(tmp_path, degree):
    """Its own density, height and spread, lobe by lobe, where both cut a voxel into as many lobes."""
    fields = random_fods(300, degree, seed=7)
    write_fod(tmp_path / "fod.nii.gz", fields.reshape(10, 6, 5, -1), np.diag([2.0, 2.0, 2.0, 1.0]))
    maps = [word for name in ("afd", "peak_amp", "disp") for word in (f"-{name}", f"{name}.nii")]
    command = ["fod2fixel", "-nii", *maps, "-quiet", "-nthreads", "0", tmp_path / "fod.nii.gz", tmp_path / "fixels"]
    assert subprocess.run(list(map(str, command)), timeout=60).returncode == 0
    theirs = {path.stem: np.asarray(nib.load(path).dataobj) for path in (tmp_path / "fixels").iterdir()}
    counts, firsts = theirs["index"].reshape(-1, 2).astype(int).T
    ours = fixels_of(fields)
    alike = np.flatnonzero((counts == ours.numbers) & (counts > 0))
    assert len(alike) > 250
    shares, turns = [], []
    for voxel in alike:
        mine = slice(ours.offsets[voxel], ours.offsets[voxel + 1])
        its = firsts[voxel] + np.arange(counts[voxel])
        directions = theirs["directions"][its, :, 0].astype(float)
        paired = its[np.abs(ours.directions[mine] @ directions.T).argmax(axis=1)]
        turns.append(axial_angle(ours.directions[mine].astype(float), theirs["directions"][paired, :, 0].astype(float)))
        np.testing.assert_allclose(ours.amplitudes[mine], theirs["peak_amp"][paired, 0, 0], rtol=1e-4)
        shares.append(ours.afd[mine] / theirs["afd"][paired, 0, 0])
        np.testing.assert_allclose(shares[-1], ours.dispersion[mine] / theirs["disp"][paired, 0, 0], rtol=1e-4)
    assert np.median(np.concatenate(turns)) < 0.3 and np.quantile(np.concatenate(turns), 0.95) < 2.0
    error = np.abs(np.concatenate(shares) - 1)
    assert np.median(error) < 0.01 and np.quantile(error, 0.95) < 0.08, np.quantile(error, [0.5, 0.95, 1])
