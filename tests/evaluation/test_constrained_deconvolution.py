from dataclasses import replace

import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.data import default_sphere
from dipy.reconst.csdeconv import AxSymShResponse, ConstrainedSphericalDeconvModel

from shd.errors import ResponseError, ScanError
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.fodf.peaks import find_peaks
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, Protocol
from shd.sphere.directions import axial_angle
from shd.sphere.harmonics import even_harmonics
from shd.sphere.rotations import random_rotation

AXIS = np.array([0.6, -0.48, 0.64])


def affine(flip: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = random_rotation(np.random.default_rng(1)) @ np.diag([flip * 2.0, 2.0, 2.0])
    return matrix


@pytest.mark.parametrize("flip", [1.0, -1.0])
@pytest.mark.parametrize("protocol", [RESEARCH, HARDI, CLINICAL])
def test_peak_of_a_bundle_is_its_direction_whatever_the_affine(protocol, flip):
    phantom = single_bundle(AXIS, affine(flip), shape=(1, 1, 2), protocol=protocol)
    field = constrained_deconvolution(phantom.scan, response=phantom.responses[0])
    peaks = find_peaks(field.wm[0, 0], count=1)
    assert axial_angle(peaks.directions[:, 0].astype(np.float64), np.tile(AXIS, (2, 1))).max() < 1.0


def test_fod_equals_dipys_own_on_its_sphere():
    phantom = crossing_phantom(60.0, shape=(6, 6, 4), protocol=HARDI)
    gradients, response = phantom.scan.gradients, phantom.responses[0]
    model = ConstrainedSphericalDeconvModel(
        gradient_table(gradients.bvalues, bvecs=gradients.directions),
        AxSymShResponse(1000.0, response.coefficients[1]),
        sh_order_max=8,
    )
    expected = model.fit(phantom.scan.data.astype(np.float64)).odf(default_sphere)
    ours = constrained_deconvolution(phantom.scan, response=response).wm @ even_harmonics(default_sphere.vertices, 8).T
    np.testing.assert_allclose(ours, expected, atol=1e-5 * expected.max())


def test_amplitude_is_per_response():
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1))
    field = constrained_deconvolution(phantom.scan, response=phantom.responses[0])
    np.testing.assert_allclose(field.wm[0, 0, 0, 0] * np.sqrt(4 * np.pi), 1.0, rtol=0.02)


def test_highest_shell_with_enough_directions_is_used():
    protocol = Protocol("sparse outer shell", 2, ((1000.0, 50), (3000.0, 20)))
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1), protocol=protocol)
    unused = phantom.scan.gradients.shells[2].volumes
    data = phantom.scan.data.copy()
    data[..., unused] = 0.0
    first, second = (
        constrained_deconvolution(replace(phantom.scan, data=volumes), response=phantom.responses[0], degree=8).wm
        for volumes in (phantom.scan.data, data)
    )
    np.testing.assert_array_equal(first, second)
    lower = constrained_deconvolution(replace(phantom.scan, data=data), response=phantom.responses[0], degree=4).wm
    assert lower.shape[-1] == 15
    np.testing.assert_allclose(lower[0, 0, 0, 0], 0.0, atol=1e-6)  # degree 4 suits the outer shell, which is zero


def test_response_is_estimated_when_none_is_given():
    phantom = crossing_phantom(60.0, shape=(14, 14, 8))
    scan = replace(phantom.scan, mask=phantom.tissue_fractions[..., 0] > 0.5)
    field = constrained_deconvolution(scan)
    alone = phantom.fractions[..., 0] > 0.99
    peaks = find_peaks(field.wm[alone], count=1)
    assert axial_angle(peaks.directions[:, 0].astype(np.float64), phantom.directions[alone][:, 0]).mean() < 3.0
    # A Gaussian tensor describes sticks at b=3000 roughly: 18 % too much here.
    np.testing.assert_allclose(np.mean(field.wm[alone][:, 0]) * np.sqrt(4 * np.pi), 1.0, atol=0.25)


def test_voxels_outside_the_mask_are_zero():
    phantom = single_bundle(AXIS, np.eye(4), shape=(2, 1, 1))
    mask = np.array([True, False]).reshape(2, 1, 1)
    field = constrained_deconvolution(replace(phantom.scan, mask=mask), response=phantom.responses[0])
    assert not field.wm[1].any()
    assert field.wm[0].any()


def test_b0_alone_is_refused():
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1))
    b0 = phantom.scan.gradients.shells[:1]
    gradients = Gradients(np.zeros(6), np.zeros((6, 3)), b0)
    with pytest.raises(ScanError, match="6 volumes, all b=0"):
        constrained_deconvolution(Scan(phantom.scan.data[..., :6], np.eye(4), gradients, phantom.scan.mask))


def test_response_of_other_shells_is_refused():
    phantom = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1), protocol=HARDI)
    other = single_bundle(AXIS, np.eye(4), shape=(1, 1, 1), protocol=CLINICAL)
    with pytest.raises(ResponseError, match="b=3000 but the response is for b=0, 1000"):
        constrained_deconvolution(phantom.scan, response=other.responses[0])


def test_scan_without_anisotropic_voxels_needs_a_response():
    phantom = crossing_phantom(60.0, shape=(10, 10, 6), snr=None)
    grey = replace(phantom.scan, mask=phantom.tissue_fractions[..., 1] == 1.0)
    with pytest.raises(ResponseError, match=r"FA above 0\.7"):
        constrained_deconvolution(grey)
