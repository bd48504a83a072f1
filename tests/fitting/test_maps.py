import numpy as np
import pytest

from shd.errors import EvaluationError, ScanError, SettingsError
from shd.fitting import maps as module
from shd.fitting.maps import MAPS, make_maps, peaks_of, wanted_maps
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.io.fit_folder import read_fit_folder
from shd.io.fodf import write_fod
from shd.io.peaks import write_peaks
from tests.fodf.test_scalar_maps import crossings
from tests.support.affines import AFFINES

SHAPE = (5, 6, 7)


@pytest.fixture
def fod():
    mask = np.random.default_rng(0).random(SHAPE) > 0.3
    wm = crossings(210).reshape(*SHAPE, 45) * mask[..., None]
    isotropic = {"gm": np.full(SHAPE, 0.1, np.float32) * mask, "csf": np.full(SHAPE, 0.05, np.float32) * mask}
    return FodField(wm, isotropic, AFFINES["oblique"], mask)


def peaks_on_grid(fod):
    return find_peaks(fod.wm[fod.mask]).on_grid(fod.mask)


def test_every_map_is_made_with_its_shape_and_nothing_outside_the_mask(fod):
    names = wanted_maps(fod)
    assert names == tuple(MAPS)
    made = make_maps(fod, peaks_on_grid(fod), names)
    volumes = {"dec": 3, "peak_amplitudes": 5, "afd_fixel": 5, "dispersion": 5}
    for name, values in made.items():
        assert values.shape == (*SHAPE, volumes[name]) if name in volumes else SHAPE
        assert values.dtype == np.float32 and values[fod.mask].any() and not values[~fod.mask].any()


def test_blocks_do_not_matter(fod, monkeypatch):
    peaks, names = peaks_on_grid(fod), wanted_maps(fod)
    whole, done = make_maps(fod, peaks, names), []
    monkeypatch.setattr(module, "BLOCK", 17)
    parts = make_maps(fod, peaks, names, report=lambda progress: done.append(progress.done))
    assert done[-1] == pytest.approx(1.0) and done == sorted(done)
    for name in names:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5, atol=1e-7)


def test_fixel_maps_are_aligned_with_the_peaks(fod):
    peaks = peaks_on_grid(fod)
    made = make_maps(fod, peaks, ("peak_amplitudes", "afd_fixel", "dispersion"))
    np.testing.assert_array_equal(made["peak_amplitudes"], peaks.amplitudes)
    assert ((made["afd_fixel"] > 0) == (peaks.amplitudes > 0)).all()
    there = peaks.amplitudes > 0
    np.testing.assert_allclose(made["dispersion"][there] * peaks.amplitudes[there], made["afd_fixel"][there], rtol=1e-4)


def test_the_threshold_counts_peaks(fod):
    peaks = peaks_on_grid(fod)
    low, high = (make_maps(fod, peaks, ("nufo",), threshold=t, relative_threshold=0.0)["nufo"] for t in (0.0, 0.6))
    assert low.sum() == (peaks.amplitudes > 0).sum() and high.sum() == (peaks.amplitudes > 0.6).sum() < low.sum()
    with pytest.raises(SettingsError, match=r"peak threshold -0\.1: give an amplitude of 0 or more"):
        make_maps(fod, peaks, ("nufo",), threshold=-0.1)


def test_peaks_far_below_the_highest_of_their_voxel_do_not_count(fod):
    peaks = peaks_on_grid(fod)
    half = make_maps(fod, peaks, ("nufo",), threshold=0.0, relative_threshold=0.5)["nufo"]
    expected = (peaks.amplitudes > 0.5 * peaks.amplitudes[..., :1]).sum(-1)
    np.testing.assert_array_equal(half, expected)
    assert half.sum() < (peaks.amplitudes > 0).sum()
    with pytest.raises(SettingsError, match=r"relative peak threshold 1\.5: give a share of the highest peak, 0 to 1"):
        make_maps(fod, peaks, ("nufo",), relative_threshold=1.5)


def test_without_tissues_there_are_no_fractions(fod):
    alone = FodField(fod.wm, {}, fod.affine, fod.mask)
    assert set(MAPS) - set(wanted_maps(alone)) == {"fraction_wm", "fraction_gm", "fraction_csf", "tissue_sum"}
    with pytest.raises(ScanError, match=r"tissue_sum: the result has 1 tissue \(wm\); give the folder of a fit of"):
        wanted_maps(alone, ["gfa", "tissue_sum"])


def test_unknown_maps_are_refused(fod):
    with pytest.raises(SettingsError, match=r"1 of 2 maps unknown \['fa'\]; there are dec, afd_total, nufo"):
        wanted_maps(fod, ["gfa", "fa"])
    with pytest.raises(SettingsError, match="0 of 0 maps"):
        wanted_maps(fod, [])


def test_an_empty_mask_is_refused(fod):
    empty = FodField(fod.wm, fod.isotropic, fod.affine, np.zeros(SHAPE, bool))
    with pytest.raises(ScanError, match="mask has 0 of 210 voxels"):
        make_maps(empty, peaks_on_grid(fod), ("gfa",))


def test_voxels_that_are_not_finite_leave_the_others_alone(fod):
    peaks, names = peaks_on_grid(fod), wanted_maps(fod)
    clean = make_maps(fod, peaks, names)
    place = tuple(np.argwhere(fod.mask)[3])
    fod.wm[place] = np.nan
    spoilt = make_maps(fod, peaks_on_grid(fod), names)
    others = fod.mask.copy()
    others[place] = False
    for name in names:
        assert np.isfinite(spoilt[name]).all()
        np.testing.assert_array_equal(spoilt[name][others], clean[name][others])


def test_stored_peaks_are_taken_and_others_refused(tmp_path, fod):
    write_fod(tmp_path / "wm_fod.nii.gz", fod.wm, fod.affine, fod.mask)
    found = peaks_of(read_fit_folder(tmp_path))
    few = find_peaks(fod.wm[fod.mask], count=2).on_grid(fod.mask)
    write_peaks(tmp_path / "peaks.nii.gz", few, fod.affine)
    stored = peaks_of(read_fit_folder(tmp_path))
    assert found.amplitudes.shape[-1] == 5 and stored.amplitudes.shape[-1] == 2
    np.testing.assert_allclose(stored.amplitudes, found.amplitudes[..., :2], rtol=1e-5)
    write_peaks(tmp_path / "peaks.nii.gz", few, AFFINES["LAS"])
    with pytest.raises(EvaluationError, match=r"peaks\.nii\.gz lies .* mm away"):
        peaks_of(read_fit_folder(tmp_path))
