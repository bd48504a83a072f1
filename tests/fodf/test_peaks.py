import shutil
import subprocess
from functools import lru_cache

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.fodf import peaks as peaks_module
from shd.fodf.peak_reference import climb_without_derivatives, reference_peaks
from shd.fodf.peaks import BLOCK, Peaks, find_peaks, half_sphere_neighbours, peaks_on_grid, polynomial_map
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.harmonics import coefficient_count, even_harmonics, gaussian_factors
from shd.sphere.rotations import random_rotation, rotate_harmonics


def fibres(axes, weights=None, degree=8):
    """One fODF: band-limited point masses along `axes`."""
    axes = normalised(np.atleast_2d(np.asarray(axes, dtype=float)))
    weights = np.ones(len(axes)) if weights is None else np.asarray(weights)
    return weights @ even_harmonics(axes, degree)


def random_fields(voxels, degree, noise, seed=0):
    rng = np.random.default_rng(seed)
    total = rng.standard_normal((voxels, coefficient_count(degree))) * noise
    for _ in range(3):
        axes = normalised(rng.standard_normal((voxels, 3)))
        total += rng.uniform(0.0, 1.0, (voxels, 1)) * even_harmonics(axes, degree)
    return total.astype(np.float32)


@lru_cache
def even_harmonics_of_grid(degree):
    return even_harmonics(half_sphere(6000), degree)


def present(peaks, voxel=0):
    return peaks.directions[voxel][peaks.amplitudes[voxel] > 0].astype(float)


def nearest_angle(first, second):
    return axial_angle(*np.broadcast_arrays(first[:, None], second[None])).min(axis=1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    degree=st.sampled_from([2, 4, 6, 8, 10, 12]),
    weights=st.lists(st.floats(0.2, 1.0), min_size=1, max_size=3),
    noise=st.sampled_from([0.0, 0.01, 0.05]),
    count=st.integers(1, 6),
    relative=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_equals_the_reference(seed, degree, weights, noise, count, relative):
    rng = np.random.default_rng(seed)
    field = fibres(rng.standard_normal((len(weights), 3)), weights, degree)
    field = (field + noise * rng.standard_normal(len(field))).astype(np.float32)
    found = find_peaks(field[None], count=count, relative_threshold=relative)
    expected = reference_peaks(field, count=count, relative_threshold=relative)
    np.testing.assert_allclose(found.amplitudes[0], expected.amplitudes, rtol=1e-5, atol=1e-6)
    angles = nearest_angle(present(found), expected.directions[expected.amplitudes > 0].astype(float))
    assert (angles < 0.01).all()


@pytest.mark.parametrize("degree", [8, 12])
def test_brute_force_on_a_very_dense_grid_finds_nothing_higher(degree):
    fields = random_fields(40, degree, 0.02)
    grid = half_sphere(20000)  # 1° between neighbours
    heights = fields.astype(float) @ even_harmonics(grid, degree).T
    best = heights.argmax(axis=1)
    found = find_peaks(fields, count=1)
    assert (axial_angle(grid[best], found.directions[:, 0].astype(float)) < 1.0).all()
    assert (found.amplitudes[:, 0] >= heights.max(axis=1) * (1 - 1e-6)).all()
    np.testing.assert_allclose(found.amplitudes[:, 0], heights.max(axis=1), rtol=0.01)


@pytest.mark.parametrize("degree", [8, 12])
def test_misses_at_most_a_few_in_a_thousand_of_the_maxima_of_a_dense_grid(degree):
    fields = random_fields(400, degree, 0.02, seed=3)
    grid = half_sphere(6000)
    neighbours = half_sphere_neighbours(grid)
    found = find_peaks(fields, count=12, separation_degrees=1.0, relative_threshold=0.0)
    tops, missed = 0, 0
    for voxel, field in enumerate(fields.astype(float)):
        heights = even_harmonics_of_grid(degree) @ field
        here = np.flatnonzero((heights[neighbours] <= heights[:, None]).all(axis=1) & (heights > 0.15 * heights.max()))
        tops += len(here)
        for top in here[nearest_angle(grid[here], present(found, voxel)) > 2.0]:
            above, _ = climb_without_derivatives(field, grid[[top]])  # along a ridge the grid has tops of its own
            missed += nearest_angle(above, present(found, voxel))[0] > 0.1
    assert tops > 1000
    assert missed <= 0.005 * tops


def smooth_crossings(voxels, degree, seed=0):
    """Three fibres of unequal weight as fits give them: Gaussians, with noise."""
    rng = np.random.default_rng(seed)
    axes = normalised(rng.standard_normal((3, voxels, 3)))
    exact = sum(weight * even_harmonics(each, degree) for weight, each in zip((0.5, 0.35, 0.15), axes, strict=True))
    exact *= gaussian_factors(degree, 57.3 / degree)
    return (exact + 0.02 * rng.standard_normal(exact.shape)).astype(np.float32)


def missed_of_a_dense_grid(fields, degree, relative):
    """How many peaks from `relative` of the highest a grid of 8000 directions leads to, and how many we have not."""
    grid = half_sphere(8000)
    neighbours = half_sphere_neighbours(grid)
    basis = even_harmonics(grid, degree).T
    found = find_peaks(fields, count=12, relative_threshold=relative)
    there, missed = 0, 0
    for voxel, field in enumerate(fields.astype(float)):
        heights = field @ basis
        floor = relative * found.amplitudes[voxel, 0]
        tops = np.flatnonzero((heights[neighbours] <= heights[:, None]).all(axis=1) & (heights >= floor))
        there += int(found.numbers[voxel])
        for top in tops[nearest_angle(grid[tops], present(found, voxel)) > 8.0]:  # of closer ones the higher stays
            above, _ = climb_without_derivatives(field, grid[[top]])
            missed += nearest_angle(above, present(found, voxel))[0] > 8.0
    return there + missed, missed


@pytest.mark.parametrize("degree", [8, 12])
def test_misses_one_peak_in_a_thousand_of_those_a_dense_search_finds(degree):
    """22 of 24,415 in 5000 voxels of degree 8 and 17 of 19,540 of degree 12 were: shoulders that hardly part."""
    there, missed = missed_of_a_dense_grid(smooth_crossings(700, degree), degree, relative=0.1)
    assert there > 2000
    assert missed <= 0.002 * there


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("sh2peaks") is None, reason="MRtrix3's sh2peaks is not installed")
@pytest.mark.parametrize("degree", [8, 12])
def test_agrees_with_sh2peaks(tmp_path, degree):
    fields = random_fields(216, degree, 0.01, seed=1)
    nib.save(nib.Nifti1Image(fields.reshape(6, 6, 6, -1), np.eye(4)), tmp_path / "fod.nii")
    subprocess.run(
        ["sh2peaks", "-quiet", "-num", "8", tmp_path / "fod.nii", tmp_path / "peaks.nii"], check=True, timeout=60
    )
    theirs = np.nan_to_num(np.asarray(nib.load(tmp_path / "peaks.nii").dataobj)).reshape(216, 8, 3).astype(float)
    ours = find_peaks(fields, count=8, relative_threshold=0.0, absolute_threshold=-1.0)
    theirs_missed = 0  # at degree 12 its climbs from 60 directions do not reach every highest maximum
    for voxel in range(216):
        heights = np.linalg.norm(theirs[voxel], axis=1)
        vectors, heights = normalised(theirs[voxel][heights > 0]), heights[heights > 0]
        assert heights.max() < ours.amplitudes[voxel, 0] * (1 + 1e-5)
        main = heights > 0.5 * heights.max()
        angles = axial_angle(*np.broadcast_arrays(vectors[main][:, None], present(ours, voxel)[None]))
        assert angles.min(axis=1).max() < 0.15  # sh2peaks stops early on flat maxima
        np.testing.assert_allclose(heights[main], ours.amplitudes[voxel, angles.argmin(axis=1)], rtol=1e-4)
        theirs_missed += nearest_angle(present(ours, voxel)[:1], vectors)[0] > 0.15
    assert theirs_missed < 30


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, 0, -1), (1, 0, 0), (0, -1, 0), (1, 1, 0), (1e-9, 0, 1), (-3, 2, -1)])
def test_polar_equatorial_and_antipodal_fibres(axis):
    field = fibres(axis)
    peaks = find_peaks(field[None])
    assert peaks.numbers[0] == 1
    assert axial_angle(present(peaks), normalised(np.array([axis], float)))[0] < 1e-4
    assert peaks.directions[0, 0, 2] >= 0
    assert peaks.amplitudes[0, 0] == pytest.approx(45 / (4 * np.pi), rel=1e-6)  # the addition theorem


def test_amplitudes_are_the_function_at_the_directions():
    fields = random_fields(100, 12, 0.05)
    peaks = find_peaks(fields)
    values = np.stack([even_harmonics(d.astype(float), 12) @ f for d, f in zip(peaks.directions, fields, strict=True)])
    np.testing.assert_allclose(np.where(peaks.amplitudes > 0, values, 0.0), peaks.amplitudes, rtol=1e-5)


def test_antipodes_are_one_peak():
    np.testing.assert_array_equal(
        find_peaks(fibres((0.3, -0.4, 0.5))[None]).directions, find_peaks(fibres((-0.3, 0.4, -0.5))[None]).directions
    )


def test_three_orthogonal_fibres_come_highest_first():
    peaks = find_peaks(fibres(np.eye(3), [0.5, 1.0, 0.75])[None], relative_threshold=0.3)  # above the side lobes
    assert peaks.numbers[0] == 3
    assert (np.diff(peaks.amplitudes[0, :3]) < 0).all()
    assert (nearest_angle(present(peaks), np.eye(3)[[1, 2, 0]]) < 1e-3).all()
    assert axial_angle(present(peaks), np.eye(3)[[1, 2, 0]]).max() < 1e-3


def test_absent_peaks_are_zero():
    peaks = find_peaks(fibres((1, 2, 3))[None], count=4)
    assert peaks.directions.shape == (1, 4, 3) and peaks.directions.dtype == np.float32
    assert not peaks.directions[0, 1:].any() and not peaks.amplitudes[0, 1:].any()


@pytest.mark.parametrize("degree", [0, 2, 8])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_isotropic_functions_have_no_peak(degree, value):
    field = np.zeros((1, coefficient_count(degree)), np.float32)
    field[0, 0] = value
    assert find_peaks(field).numbers[0] == 0


def test_an_isotropic_function_with_rounding_has_no_peak():
    rng = np.random.default_rng(0)
    field = np.concatenate([[1.0], 1e-8 * rng.standard_normal(44)]).astype(np.float32)
    assert find_peaks(field[None]).numbers[0] == 0


def test_a_ring_has_no_isolated_peak():
    field = np.zeros(45)
    field[0], field[3] = 1.0, -1.0  # −Y20: highest all along the equator
    turned = rotate_harmonics(field, random_rotation(np.random.default_rng(1)), 8)
    assert not find_peaks(np.stack([field, turned]).astype(np.float32)).numbers.any()


def test_negative_lobes_are_no_peaks():
    assert find_peaks(-fibres((0, 0, 1), degree=2)[None], absolute_threshold=0.0).numbers[0] == 0


def test_voxels_that_are_not_finite_have_no_peak_and_leave_others_alone():
    fields = np.stack([fibres((0, 0, 1))] * 4)
    fields[1, 3], fields[2, 0] = np.nan, np.inf
    assert find_peaks(fields).numbers.tolist() == [1, 0, 0, 1]


def test_no_voxel():
    peaks = find_peaks(np.zeros((0, 45), np.float32))
    assert peaks.directions.shape == (0, 5, 3) and peaks.numbers.shape == (0,)


def test_blocks_do_not_matter():
    fields = random_fields(BLOCK + 3, 4, 0.1)
    whole = find_peaks(fields)
    last = find_peaks(fields[-4:])
    np.testing.assert_array_equal(whole.directions[-4:], last.directions)


def test_threads_do_not_matter():
    fields = random_fields(2 * BLOCK + 5, 8, 0.02)
    np.testing.assert_array_equal(find_peaks(fields, threads=1).directions, find_peaks(fields, threads=3).directions)


def test_a_lower_peak_counts_beside_a_ring():
    """The ring is the highest, but no peak: what is relative to the highest peak is so to that of the fibre."""
    ring = np.zeros(45)
    ring[0], ring[3] = 1.0, -1.0  # −Y20: highest all along the equator
    field = (4.0 * ring + fibres((0, 0, 1))).astype(np.float32)
    peaks, expected = find_peaks(field[None], relative_threshold=0.9), reference_peaks(field, relative_threshold=0.9)
    assert peaks.numbers[0] == np.count_nonzero(expected.amplitudes) == 1
    assert peaks.amplitudes[0, 0] < 0.9 * (even_harmonics_of_grid(8) @ field).max()
    np.testing.assert_allclose(peaks.amplitudes[0], expected.amplitudes, rtol=1e-5)


def test_any_layout_and_float_type():
    fields = random_fields(6, 8, 0.02)
    expected = find_peaks(fields)
    wide = np.zeros((6, 90))
    wide[:, ::2] = fields
    for same in (fields.astype(np.float64), np.asfortranarray(fields), wide[:, ::2]):
        np.testing.assert_array_equal(find_peaks(same).directions, expected.directions)


def test_turning_the_function_turns_its_peaks():
    rng = np.random.default_rng(5)
    fields, rotation = random_fields(50, 8, 0.0), random_rotation(rng)
    straight = find_peaks(fields, count=1).directions[:, 0].astype(float)
    turned = find_peaks(rotate_harmonics(fields, rotation, 8), count=1).directions[:, 0].astype(float)
    assert np.percentile(axial_angle(straight @ rotation.T, turned), 95) < 1e-3


def test_relative_threshold():
    field = fibres(np.eye(3)[:2], [1.0, 0.4])[None]
    second_over_first = find_peaks(field, relative_threshold=0.2).amplitudes[0, 1::-1].tolist()
    ratio = second_over_first[0] / second_over_first[1]
    assert find_peaks(field, relative_threshold=ratio - 0.01).numbers[0] == 2
    assert find_peaks(field, relative_threshold=ratio + 0.01).numbers[0] == 1


@pytest.mark.parametrize("degree", [8, 12, 16])
def test_nearly_equal_peaks_pass_a_high_threshold_wherever_they_lie(degree):
    """Between grid directions a narrow peak rises several percent above all of them."""
    rng = np.random.default_rng(0)
    first, other = normalised(rng.standard_normal((2, 1000, 3)))
    second = normalised(np.cross(first, other))
    fields = even_harmonics(first, degree) + 0.98 * even_harmonics(second, degree)
    peaks = find_peaks(fields.astype(np.float32), relative_threshold=0.96)
    assert (peaks.numbers == 2).all()
    absolute = 0.985 * float(peaks.amplitudes[:, 1].min())
    alone = find_peaks(fields.astype(np.float32), relative_threshold=0.0, absolute_threshold=absolute)
    assert (alone.numbers == 2).all()


def test_absolute_threshold():
    field = fibres(np.eye(3)[:1])[None]
    assert find_peaks(field, absolute_threshold=3.5).numbers[0] == 1
    assert find_peaks(field, absolute_threshold=3.6).numbers[0] == 0


def test_of_two_peaks_too_close_the_higher_stays():
    field = fibres([(1, 0, 0), (0.5, np.sqrt(0.75), 0)], [0.8, 1.0], degree=12)[None]
    assert find_peaks(field, relative_threshold=0.5).numbers[0] == 2
    alone = find_peaks(field, relative_threshold=0.5, separation_degrees=65.0)
    assert alone.numbers[0] == 1
    assert axial_angle(present(alone), np.array([[0.5, np.sqrt(0.75), 0]]))[0] < 1.0


@pytest.mark.parametrize("wrong", [{"count": 0}, {"relative_threshold": 1.1}, {"separation_degrees": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        find_peaks(np.zeros((1, 45), np.float32), **wrong)


def test_a_number_of_coefficients_no_degree_has_is_refused():
    with pytest.raises(ValueError, match="44 coefficients"):
        find_peaks(np.zeros((1, 44), np.float32))


def test_neighbours_are_mutual_and_near():
    grid = half_sphere(500)
    table = half_sphere_neighbours(grid)
    for index, row in enumerate(table):
        others = row[row != index]
        assert 4 <= len(others) <= 8
        assert all(index in table[other] for other in others)
        assert axial_angle(np.broadcast_to(grid[index], (len(others), 3)), grid[others]).max() < 15


@pytest.mark.parametrize("degree", [2, 8, 16])
def test_the_polynomial_equals_the_harmonics_on_the_sphere(degree):
    x, y, z = points = normalised(np.random.default_rng(0).standard_normal((50, 3))).T
    monomials = [x ** (degree - s) * y ** (s - c) * z**c for s in range(degree + 1) for c in range(s + 1)]
    values = np.stack(monomials, axis=1) @ polynomial_map(degree)
    np.testing.assert_allclose(values, even_harmonics(points.T, degree), atol=1e-11)


def test_peaks_on_a_grid_are_those_of_its_voxels(monkeypatch):
    monkeypatch.setattr(peaks_module, "_COPIED", 7)
    mask = np.random.default_rng(0).random((3, 4, 5)) > 0.5
    fields = np.zeros((3, 4, 5, 15), np.float32)
    fields[mask] = random_fields(int(mask.sum()), 4, 0.1)
    found, expected = peaks_on_grid(fields, mask, count=3), find_peaks(fields[mask], count=3).on_grid(mask)
    np.testing.assert_array_equal(found.directions, expected.directions)
    np.testing.assert_array_equal(found.amplitudes, expected.amplitudes)
    assert not peaks_on_grid(fields, np.zeros_like(mask)).numbers.any()


def test_on_grid_undoes_masking():
    mask = np.random.default_rng(0).random((3, 4, 5)) > 0.5
    peaks = find_peaks(random_fields(int(mask.sum()), 4, 0.1))
    grid = peaks.on_grid(mask)
    assert isinstance(grid, Peaks) and grid.amplitudes.shape == (3, 4, 5, 5)
    np.testing.assert_array_equal(grid.directions[mask], peaks.directions)
    assert not grid.amplitudes[~mask].any()
