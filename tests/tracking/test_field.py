"""The field that is tracked: cropped, in voxel axes, single precision, and the same functions as before."""

import numpy as np
import pytest

from shd.errors import ScanError
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.sphere.directions import axial_angle, normalised
from shd.tracking.field import MARGIN, tracking_field
from tests.support.affines import AFFINES
from tests.tracking.phantoms import PEAK, TRUTH, fods_along, straight_field


@pytest.mark.parametrize("name", AFFINES)
def test_directions_are_turned_into_voxel_axes(name):
    field = tracking_field(straight_field(AFFINES[name]))
    found = find_peaks(field.coefficients[:1], count=1).directions[0, 0].astype(float)
    in_scanner = found @ normalised(field.affine[:3, :3].T)
    assert axial_angle(in_scanner[None], TRUTH[None])[0] < 1e-3


@pytest.mark.parametrize("name", AFFINES)
def test_the_cropped_grid_lies_where_the_scans_does(name):
    fod = straight_field(AFFINES[name])
    mask = np.zeros(fod.mask.shape, bool)
    mask[3:6, 4:9, 7] = True
    field = tracking_field(FodField(fod.wm, {}, fod.affine, mask))
    assert field.rows.shape == (3 + 2 * MARGIN, 5 + 2 * MARGIN, 1 + 2 * MARGIN)
    here = field.in_scanner(np.argwhere(field.mask).astype(float))
    np.testing.assert_allclose(here, np.argwhere(mask) @ fod.affine[:3, :3].T + fod.affine[:3, 3], atol=1e-4)
    np.testing.assert_array_equal(field.rows[field.mask], np.arange(mask.sum()))
    np.testing.assert_array_equal(field.cropped(mask), field.mask)


def test_a_region_beyond_the_crop_is_left_out_and_the_margin_outside_the_scan_is_empty():
    fod = straight_field(AFFINES["RAS"])
    field = tracking_field(FodField(fod.wm, {}, fod.affine, np.ones(fod.mask.shape, bool)))
    everywhere = field.cropped(np.ones(fod.mask.shape, bool))
    np.testing.assert_array_equal(everywhere, field.mask)
    assert not everywhere[0].any()


def test_it_takes_single_precision_and_only_the_mask():
    fod = straight_field(AFFINES["oblique"])
    field = tracking_field(FodField(fod.wm.astype(np.float64), {"gm": fod.wm[..., 0]}, fod.affine, fod.mask))
    assert field.coefficients.dtype == np.float32 and len(field.coefficients) == fod.mask.sum()
    assert field.amounts["gm"].dtype == np.float32


def test_amounts_are_one_where_a_voxel_is_full():
    fod = straight_field(AFFINES["RAS"])
    full = np.where(fod.mask, 1 / np.sqrt(4 * np.pi), 0.0)
    field = tracking_field(FodField(fod.wm * 0 + full[..., None], {"csf": full}, fod.affine, fod.mask))
    np.testing.assert_allclose(field.amounts["wm"], 1.0, rtol=1e-5)
    np.testing.assert_allclose(field.amounts["csf"], 1.0, rtol=1e-5)


def test_values_that_are_not_finite_count_as_zero():
    fod = straight_field(AFFINES["RAS"])
    wm = fod.wm.copy()
    wm[2, 2, 2], wm[3, 3, 3, 5] = np.nan, np.inf
    field = tracking_field(FodField(wm, {}, fod.affine, fod.mask))
    assert np.isfinite(field.coefficients).all()


def test_what_cannot_be_tracked():
    fod = straight_field(AFFINES["RAS"])
    with pytest.raises(ScanError, match="0 of 2184 voxels hold an fODF"):
        tracking_field(FodField(fod.wm, {}, fod.affine, np.zeros(fod.mask.shape, bool)))
    with pytest.raises(ScanError, match="1 coefficient a voxel has no direction"):
        tracking_field(FodField(fod.wm[..., :1], {}, fod.affine, fod.mask))
    sheared = fod.affine.copy()
    sheared[0, 1] = 0.4
    with pytest.raises(ScanError, match=r"axes are 78\.7° apart, but tracking needs 90°"):
        tracking_field(FodField(fod.wm, {}, sheared, fod.mask))


def test_fods_along_fill_a_voxel():
    assert find_peaks(fods_along(TRUTH)[None], count=1).amplitudes[0, 0] == pytest.approx(PEAK, rel=1e-5)
