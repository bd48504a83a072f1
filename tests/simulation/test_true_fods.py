import numpy as np
import pytest

from shd.fodf.peaks import find_peaks
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.true_fods import true_fods
from shd.sphere.directions import axial_angle
from shd.sphere.harmonics import even_harmonics, zonal_factors

AXIS = np.array([0.6, -0.48, 0.64])


def test_unsmoothed_fod_times_the_response_is_the_signal():
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1))
    fod = true_fods(phantom, degree=12, smoothing_degrees=0.0)[0, 0, 0]
    for shell, row in zip(phantom.scan.gradients.shells, phantom.responses[0].coefficients, strict=True):
        directions = phantom.scan.gradients.directions[shell.volumes]
        if shell.bvalue == 0:
            directions = np.tile([0.0, 0.0, 1.0], (len(directions), 1))
        predicted = even_harmonics(directions, 12) @ (zonal_factors(row, 12) * fod)
        np.testing.assert_allclose(predicted, phantom.noise_free[0, 0, 0, shell.volumes], atol=1.0)


def test_smoothing_keeps_the_amount_of_white_matter():
    phantom = crossing_phantom(60.0, shape=(8, 8, 4), snr=None)
    amount = true_fods(phantom)[..., 0] * np.sqrt(4 * np.pi)
    np.testing.assert_allclose(amount, phantom.tissue_fractions[..., 0], atol=1e-6)


def test_peak_of_a_single_fibre_is_its_direction():
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1))
    peaks = find_peaks(true_fods(phantom)[0, 0].astype(np.float32), count=3, relative_threshold=0.1)
    assert axial_angle(peaks.directions[0, :1].astype(np.float64), AXIS[None])[0] < 0.1
    assert np.count_nonzero(peaks.amplitudes) == 1


def test_a_degree_beyond_that_of_the_phantom_is_refused():
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1))
    with pytest.raises(ValueError, match="degree 14: the phantom's fODFs are known to degree 12"):
        true_fods(phantom, degree=14)


def test_fibres_that_bend_within_a_voxel_widen_its_fod():
    phantom = crossing_phantom(60.0, shape=(4, 4, 2), affine=np.diag([20.0, 20.0, 20.0, 1.0]), snr=None)
    bent = (phantom.bundles[..., 0] == 1) & (phantom.fractions[..., 0] > 0.3) & (phantom.bundles[..., 1:] < 0).all(-1)
    assert bent.any()
    fods = true_fods(phantom, smoothing_degrees=0.0)[bent]
    power = (fods**2).sum(axis=-1) / fods[:, 0] ** 2
    straight = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1)).fods[0, 0, 0].astype(float)
    assert (power < 0.95 * (straight**2).sum() / straight[0] ** 2).all()
