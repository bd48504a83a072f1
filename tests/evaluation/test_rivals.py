import numpy as np
import pytest

from benchmarks.deconvolvers.mrtrix import mrtrix_installed, multi_tissue_deconvolution
from shd.fodf.peaks import find_peaks
from shd.simulation import crossing_phantom, single_bundle
from shd.sphere.directions import axial_angle
from shd.sphere.rotations import random_rotation

AXIS = np.array([0.6, -0.48, 0.64])

pytestmark = [
    pytest.mark.mrtrix,
    pytest.mark.skipif(not mrtrix_installed(), reason="MRtrix3's dwi2fod is not installed"),
]


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_multi_tissue_peak_is_the_bundles_direction_whatever_the_affine(flip):
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(np.random.default_rng(1)) @ np.diag([flip * 2.0, 2.0, 2.0])
    phantom = single_bundle(AXIS, affine, shape=(1, 1, 1))
    field = multi_tissue_deconvolution(phantom.scan, phantom.responses)
    peaks = find_peaks(field.wm[0, 0], count=1)
    assert axial_angle(peaks.directions[0].astype(np.float64), AXIS[None])[0] < 1.0


def test_multi_tissue_amounts_are_the_tissue_fractions():
    phantom = crossing_phantom(90.0, shape=(6, 6, 4), snr=None)
    field = multi_tissue_deconvolution(phantom.scan, phantom.responses)
    amounts = np.stack([field.wm[..., 0], field.isotropic["gm"], field.isotropic["csf"]], axis=-1) * np.sqrt(4 * np.pi)
    # Non-negative and of degree 8 it cannot be as sharp as a fibre, and pays in borders with other tissues.
    assert np.abs(amounts - phantom.tissue_fractions).mean() < 0.05
    pure = phantom.tissue_fractions.max(axis=-1) == 1.0
    np.testing.assert_allclose(amounts[pure], phantom.tissue_fractions[pure], atol=0.05)
