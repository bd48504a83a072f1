"""The numbers of a page, against those counted voxel by voxel."""

import numpy as np
import pytest

from shd.fitting.maps import make_maps, wanted_maps
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.report.result_numbers import NEEDED_MAPS, result_numbers
from tests.fodf.tissue_fields import tissues


def numbers_of(fod, residual=None):
    peaks = find_peaks(fod.wm[fod.mask]).on_grid(fod.mask)
    maps = make_maps(fod, peaks, [name for name in wanted_maps(fod) if name in NEEDED_MAPS])
    return result_numbers(maps, fod.mask, fod.affine, residual), peaks


def test_numbers_counted_by_a_loop():
    fod = tissues(gains=(0.5, 1.0, 1.0))
    residual = np.random.default_rng(0).uniform(0.5, 2.0, fod.mask.shape)
    numbers, peaks = numbers_of(fod, residual)
    histogram, of_white, density, heights, shares, left = [0] * 6, [0] * 6, [], [], [], []
    for voxel in map(tuple, np.argwhere(fod.mask)):
        amounts = [float(fod.wm[voxel][0]), float(fod.isotropic["gm"][voxel]), float(fod.isotropic["csf"][voxel])]
        shares.append([amount / sum(amounts) for amount in amounts])
        count = sum(height > 0.1 for height in peaks.amplitudes[voxel])
        histogram[count] += 1
        if shares[-1][0] > 0.5:
            of_white[count] += 1
            density.append(np.sqrt(4 * np.pi) * amounts[0])
            heights.append(float(peaks.amplitudes[voxel][0]))
            left.append(residual[voxel])
    assert numbers.voxels == fod.mask.sum() == sum(histogram) and numbers.white_voxels == len(density) > 100
    assert numbers.volume == pytest.approx(fod.mask.sum() * 2.0**3 / 1000)
    assert numbers.fibres == tuple(histogram) and numbers.white_fibres == tuple(of_white)
    assert numbers.density == pytest.approx(np.median(density), rel=1e-5)
    assert numbers.amplitude == pytest.approx(np.median(heights), rel=1e-5)
    assert list(numbers.mean.values()) == pytest.approx(np.mean(shares, axis=0), rel=1e-5)
    assert list(numbers.median.values()) == pytest.approx(np.median(shares, axis=0), rel=1e-5)
    assert numbers.without_fibre == histogram[0] / sum(histogram)
    assert numbers.white_without_fibre == of_white[0] / sum(of_white)
    assert numbers.crossing == sum(of_white[2:]) / sum(of_white)
    assert numbers.residual == pytest.approx(np.median(left))


def test_of_one_tissue_the_whole_mask_counts_as_white_matter():
    fod = tissues()
    numbers, _ = numbers_of(FodField(fod.wm, {}, fod.affine, fod.mask))
    assert numbers.white_voxels == numbers.voxels and numbers.white_fibres == numbers.fibres
    assert numbers.mean == {} and numbers.tissue_sum is None and numbers.residual is None


def test_no_white_matter_at_all():
    fod = tissues(gains=(0.0, 1.0, 1.0))
    numbers, _ = numbers_of(fod)
    assert numbers.white_voxels == 0 and numbers.fibres[0] == numbers.voxels and numbers.without_fibre == 1.0
    assert np.isnan([numbers.density, numbers.amplitude, numbers.crossing, numbers.white_without_fibre]).all()
