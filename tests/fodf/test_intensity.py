import re
import shutil
import subprocess
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import ScanError, SettingsError, ShdWarning
from shd.fodf.field import FodField
from shd.fodf.intensity import REFERENCE, normalise_intensity
from shd.io.fodf import write_fod, write_scalar
from shd.io.images import write_image
from tests.fodf.tissue_fields import bias, tissues
from tests.support.affines import AFFINES

GAINS = (1.3, 0.8, 0.6)


def error(found, exact, mask):
    """Relative errors of a field whose overall factor does not count, in the mask."""
    ratio = (found / exact)[mask]
    return np.abs(ratio / np.median(ratio) - 1)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("mtnormalise") is None, reason="MRtrix3's mtnormalise is not installed")
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("affine", ["LAS", "oblique"])
def test_equals_mtnormalise(tmp_path, order, affine):
    affine = AFFINES[affine]
    fod = tissues(bias(3), GAINS, noise=0.05, outliers=0.05, affine=affine)
    write_fod(tmp_path / "wm.nii.gz", fod.wm, affine)
    for tissue, volume in fod.isotropic.items():
        write_scalar(tmp_path / f"{tissue}.nii.gz", volume, affine)
    write_image(tmp_path / "mask.nii.gz", [fod.mask.astype(np.float32)], fod.mask.shape, affine, {})
    pairs = [word for tissue in ("wm", "gm", "csf") for word in (f"{tissue}.nii.gz", f"{tissue}_norm.nii.gz")]
    ran = subprocess.run(
        ["mtnormalise", *pairs, "-mask", "mask.nii.gz", "-order", str(order), "-info",
         "-check_norm", "field.nii.gz", "-check_mask", "kept.nii.gz"],
        cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    normalised, intensity = normalise_intensity(fod, order=order)
    theirs = {name: nib.load(tmp_path / f"{name}.nii.gz").get_fdata() for name in ("field", "kept", "wm_norm")}
    np.testing.assert_allclose(intensity.field[fod.mask], theirs["field"][fod.mask], rtol=1e-5)
    np.testing.assert_array_equal(intensity.inliers[fod.mask], theirs["kept"][fod.mask] > 0)
    np.testing.assert_allclose(normalised.wm[fod.mask], theirs["wm_norm"][fod.mask], rtol=1e-4, atol=1e-6)
    balances = re.findall(r"balance factors \(\d+\): ([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+)", ran.stderr)
    np.testing.assert_allclose(list(intensity.balance.values()), [float(b) for b in balances[-1]], rtol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("gains", [(1.0, 1.0, 1.0), GAINS])
def test_an_exact_field_and_balance_come_back(order, gains):
    field = bias(order)
    _, intensity = normalise_intensity(fod := tissues(field, gains), order=order)
    assert np.ptp(field[fod.mask]) > 0.25
    assert error(intensity.field, field, fod.mask).max() < 1e-4
    expected = np.prod(gains) ** (1 / 3) / np.array(gains)
    np.testing.assert_allclose(list(intensity.balance.values()), expected, rtol=1e-4)


def test_noise_and_outliers_cost_less_than_two_percent():
    field = bias(3, strength=0.6)
    _, intensity = normalise_intensity(fod := tissues(field, GAINS, noise=0.1, outliers=0.05))
    errors = error(intensity.field, field, fod.mask)
    assert errors.mean() < 0.01 and np.percentile(errors, 99) < 0.02
    assert intensity.inliers.sum() < 0.99 * fod.mask.sum()


def test_the_balanced_sum_becomes_the_reference():
    fod = tissues(bias(3), GAINS)
    for reference in (REFERENCE, 1.0):
        normalised, intensity = normalise_intensity(fod, reference=reference)
        volumes = {"wm": normalised.wm[..., 0], **normalised.isotropic}
        total = sum(intensity.balance[tissue] * volume for tissue, volume in volumes.items())
        np.testing.assert_allclose(total[fod.mask], reference, rtol=1e-3)
        assert not total[~fod.mask].any() and not intensity.field[~fod.mask].any()


def test_all_tissues_and_coefficients_are_divided_by_one_field():
    fod = tissues(bias(2), noise=0.05)
    normalised, intensity = normalise_intensity(fod)
    field = intensity.field[fod.mask]
    np.testing.assert_allclose(normalised.wm[fod.mask] * field[:, None], fod.wm[fod.mask], rtol=1e-5, atol=1e-7)
    for tissue, volume in fod.isotropic.items():
        np.testing.assert_allclose(normalised.isotropic[tissue][fod.mask] * field, volume[fod.mask], rtol=1e-5)
    assert normalised.wm.dtype == np.float32
    np.testing.assert_array_equal(fod.wm, tissues(bias(2), noise=0.05).wm)


@settings(max_examples=15, deadline=None)
@given(gain=st.floats(1e-3, 1e3), order=st.integers(0, 3))
def test_a_gain_cancels(gain, order):
    fod = tissues(bias(3), GAINS, noise=0.05, outliers=0.02)
    louder = replace(
        fod, wm=fod.wm * np.float32(gain), isotropic={t: v * np.float32(gain) for t, v in fod.isotropic.items()}
    )
    (first, one), (second, other) = (normalise_intensity(each, order=order) for each in (fod, louder))
    np.testing.assert_allclose(second.wm, first.wm, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(other.scale, one.scale * gain, rtol=1e-5)


def turned(fod, axes, order):
    """The same field on a grid stored otherwise."""
    wm = np.transpose(np.flip(fod.wm, axes), (*order, 3))
    isotropic = {tissue: np.transpose(np.flip(volume, axes), order) for tissue, volume in fod.isotropic.items()}
    return FodField(wm, isotropic, np.eye(4), np.transpose(np.flip(fod.mask, axes), order))


@pytest.mark.parametrize(("axes", "order"), [((0,), (0, 1, 2)), ((0, 1, 2), (0, 1, 2)), ((1,), (2, 0, 1))])
def test_how_the_grid_is_stored_does_not_matter(axes, order):
    fod = tissues(bias(3), GAINS, noise=0.1, outliers=0.05)
    (_, straight), (_, flipped) = normalise_intensity(fod), normalise_intensity(turned(fod, axes, order))
    expected = np.transpose(np.flip(straight.field, axes), order)
    np.testing.assert_allclose(flipped.field, expected, rtol=1e-5)
    assert flipped.balance == pytest.approx(straight.balance, rel=1e-6)


def test_order_zero_is_one_factor():
    fod = tissues(2.0)
    _, intensity = normalise_intensity(fod, order=0)
    np.testing.assert_allclose(intensity.field[fod.mask], 2.0, rtol=1e-5)
    assert intensity.scale == pytest.approx(2.0, rel=1e-5)


def test_a_single_slice_has_a_field_in_its_plane():
    field = bias(2)
    fod = tissues(field)
    mask = np.zeros_like(fod.mask)
    mask[:, :, 9] = fod.mask[:, :, 9]
    _, intensity = normalise_intensity(replace(fod, mask=mask), order=2)
    assert error(intensity.field, field, mask).max() < 1e-4


def test_values_that_are_not_finite_count_as_no_tissue():
    fod = tissues(bias(1))
    _, clean = normalise_intensity(fod)
    place = tuple(np.argwhere(fod.mask)[100])
    fod.wm[place] = np.nan
    fod.isotropic["gm"][place] = -1.0
    _, intensity = normalise_intensity(fod)
    np.testing.assert_allclose(intensity.field, clean.field, rtol=1e-3)
    assert not intensity.inliers[place]


def test_white_matter_alone_warns_and_rests_on_the_voxels_full_of_it():
    """The grey matter of the mask, of which there may be more or less, does not count."""
    fod = tissues()
    white = np.where(np.random.default_rng(0).random(fod.mask.shape) < 0.4, 1.0, 0.2) * REFERENCE * 3
    alone = FodField((white[..., None] * fod.mask[..., None]).astype(np.float32), {}, fod.affine, fod.mask)
    with pytest.warns(ShdWarning, match=r"1 tissue: .* taken from the \d+ of \d+ voxels with most white matter"):
        normalised, intensity = normalise_intensity(alone, order=0)
    np.testing.assert_allclose(intensity.field[fod.mask], 3.0, rtol=1e-5)
    assert intensity.balance == {"wm": 1.0}
    assert normalised.wm.max() == pytest.approx(REFERENCE, rel=1e-5)


def test_equal_amounts_of_one_tissue_are_all_taken():
    fod = tissues()
    alone = FodField(np.full((*fod.mask.shape, 1), 0.5, np.float32), {}, fod.affine, fod.mask)
    with pytest.warns(ShdWarning, match="1 tissue"):
        _, intensity = normalise_intensity(alone)
    np.testing.assert_allclose(intensity.field[fod.mask], 0.5 / REFERENCE, rtol=1e-5)


@pytest.mark.parametrize("order", [-1, 4])
def test_an_order_out_of_range_is_refused(order):
    with pytest.raises(SettingsError, match=f"order {order}: .* order 0 to 3"):
        normalise_intensity(tissues(), order=order)


@pytest.mark.parametrize("reference", [0.0, -1.0, float("nan")])
def test_a_reference_out_of_range_is_refused(reference):
    with pytest.raises(SettingsError, match=f"reference {reference}: .* above 0; 0.2821"):
        normalise_intensity(tissues(), reference=reference)


def test_an_empty_mask_is_refused():
    fod = tissues()
    with pytest.raises(ScanError, match="mask has 0 of 7920 voxels"):
        normalise_intensity(replace(fod, mask=np.zeros_like(fod.mask)))


def test_tissues_without_any_amount_are_refused():
    fod = tissues(0.0)
    with pytest.raises(ScanError, match=rf"0 of {fod.mask.sum()} voxels in the mask hold any tissue"):
        normalise_intensity(fod)


def test_a_tissue_that_is_nowhere_is_refused():
    fod = tissues()
    fod.isotropic["csf"][:] = 0.0
    with pytest.raises(ScanError, match=r"tissue balance .*, 0: all must be above 0"):
        normalise_intensity(fod)
