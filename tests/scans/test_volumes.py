"""Volumes that are missing or unlike their shell are named; those of real and simulated scans are not."""

import warnings

import numpy as np
import pytest
from dipy.data import get_fnames

from shd.errors import ScanError, ShdWarning
from shd.io.scans import read_scan
from shd.scans.volumes import check_finite_volumes, check_volume_medians
from shd.signal.gradients import gradient_table
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import Protocol
from shd.sphere.directions import half_sphere

MASK = np.ones((6, 6, 4), dtype=bool)
TABLE = gradient_table(
    np.repeat([0.0, 1000.0, 3000.0], [3, 12, 12]),
    np.concatenate([np.zeros((3, 3)), half_sphere(12), half_sphere(12)]),
)


def scan_data() -> np.ndarray:
    """Isotropic signal with noise: 1000 at b=0."""
    clean = 1000.0 * np.exp(-0.8e-3 * TABLE.bvalues)
    return (clean + np.random.default_rng(0).normal(0, 10, (*MASK.shape, 27))).astype(np.float32)


def test_good_volumes_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_volume_medians("scan", scan_data(), MASK, TABLE)


@pytest.mark.parametrize("volumes", [[7], [0, 20]])
def test_volumes_of_zeros_are_named(volumes):
    data = scan_data()
    data[..., volumes] = 0.0
    data[0, 0, 0, volumes] = 5.0  # outside the mask
    mask = MASK.copy()
    mask[0, 0, 0] = False
    listed = ", ".join(map(str, volumes))
    with pytest.raises(ScanError, match=rf"volumes? {listed} \(numbered from 0\) (is|are) zero in every voxel"):
        check_volume_medians("scan", data, mask, TABLE)


@pytest.mark.parametrize("volume", [1, 7, 20])
@pytest.mark.parametrize("factor", [1e4, 10.0, 0.1])
def test_a_volume_unlike_its_shell_is_named_with_both_medians(volume, factor):
    data = scan_data()
    data[..., volume] *= factor
    with pytest.warns(ShdWarning, match=rf"scan: volume {volume} \(b=\d+\) has a median of") as caught:
        check_volume_medians("scan", data, MASK, TABLE)
    said = str(caught[0].message)
    odd, usual = float(np.median(data[..., volume])), 1000.0 * np.exp(-0.8e-3 * TABLE.bvalues[volume])
    numbers = [float(word.split(" ")[0]) for word in (said.split("median of ")[1], said.split("its shell ")[1])]
    assert numbers == pytest.approx([odd, usual], rel=0.02)
    assert said.count("; volume") == 0 and "remove what is damaged" in said


def test_two_b0_volumes_that_differ_are_both_named():
    data, kept = scan_data(), np.arange(1, 27)
    data[..., 1] *= 100.0
    with pytest.warns(ShdWarning, match=r"volume 0 \(b=0\).*volume 1 \(b=0\)"):
        check_volume_medians("scan", data[..., kept], MASK, TABLE.select(kept))


@pytest.mark.parametrize(("bvalue", "snr"), [(1000.0, None), (3000.0, None), (3000.0, 20.0), (10000.0, 20.0)])
def test_parallel_fibres_everywhere_are_no_outliers(bvalue, snr):
    """A shell is then bright across the fibres and dark along them."""
    protocol = Protocol("one", 3, ((bvalue, 60),))
    scan = single_bundle(np.array([0.8, -0.36, 0.48]), np.eye(4), shape=(4, 4, 3), protocol=protocol, snr=snr).scan
    check_volume_medians("bundle", scan.data, scan.mask, scan.gradients)


def test_a_crossing_is_no_outlier():
    scan = crossing_phantom(60.0, shape=(8, 8, 4)).scan
    check_volume_medians("crossing", scan.data, scan.mask, scan.gradients)


@pytest.mark.parametrize("name", ["small_64D", "small_101D", "small_25"])
def test_real_scans_are_no_outliers(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_scan(*get_fnames(name=name))
    assert not [w for w in caught if "has a median of" in str(w.message)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_volumes_without_a_finite_voxel_are_named(value):
    data = scan_data()
    data[..., 7] = value
    data[2, 2, 2, 9] = value  # one voxel alone is another matter
    with pytest.raises(ScanError, match=r"volume 7 \(numbered from 0\) is NaN or infinite in every voxel of the mask"):
        check_finite_volumes("scan", data, MASK)
    check_finite_volumes("scan", data[..., 8:], MASK)
    check_finite_volumes("scan", np.ones((2, 2, 2, 3), np.int16), np.ones((2, 2, 2), bool))
