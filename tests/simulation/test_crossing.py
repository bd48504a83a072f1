import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel

from shd.errors import SimulationError
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import CLINICAL, HARDI
from shd.simulation.tissues import CSF, GREY_MATTER, WHITE_MATTER
from shd.sphere.directions import axial_angle
from shd.sphere.rotations import random_rotation

SMALL = (10, 10, 6)
AXIS = np.array([0.6, -0.48, 0.64])


def oblique_flipped_affine() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(np.random.default_rng(9)) @ np.diag([-2.0, 1.5, 2.5])
    affine[:3, 3] = [-30.0, 12.0, 5.0]
    return affine


@pytest.mark.parametrize("angle", [45.0, 60.0, 90.0])
def test_bundles_cross_at_the_angle_asked(angle):
    phantom = crossing_phantom(angle, snr=None)
    both = phantom.fractions.min(axis=-1) > 0.2
    assert both.sum() > 50
    angles = axial_angle(phantom.directions[both][:, 0], phantom.directions[both][:, 1])
    np.testing.assert_allclose(angles, angle, atol=2.0)
    np.testing.assert_allclose(np.median(angles), angle, atol=0.2)


def test_no_fibre_follows_a_voxel_axis():
    phantom = crossing_phantom(60.0, snr=None)
    directions = phantom.directions[phantom.fractions > 0.5]
    assert np.degrees(np.arccos(np.abs(directions).max())) > 3.0


def test_each_place_has_regions_of_every_kind():
    phantom = crossing_phantom(60.0, snr=None)
    white, grey, csf = np.moveaxis(phantom.tissue_fractions, -1, 0)
    alone = phantom.fractions[..., 0] > 0.99
    assert (np.bincount(phantom.bundles[alone][:, 0], minlength=2) > 20).all()  # one bundle alone, of each
    assert (grey > 0.99).sum() > 500
    assert (csf > 0.99).sum() > 20
    assert ((white > 0.1) & (white < 0.9)).sum() > 200  # partial volume at borders
    assert ((csf > 0.1) & (csf < 0.9)).sum() > 20


def test_fractions_fill_each_voxel():
    phantom = crossing_phantom(45.0, shape=SMALL, affine=oblique_flipped_affine())
    np.testing.assert_allclose(phantom.tissue_fractions.sum(axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(phantom.tissue_fractions[..., 0], phantom.fractions.sum(axis=-1), atol=1e-6)
    assert phantom.tissue_fractions.min() > -1e-12


def test_directions_are_unit_vectors_where_a_bundle_is_and_zero_elsewhere():
    phantom = crossing_phantom(60.0, shape=SMALL)
    lengths = np.linalg.norm(phantom.directions, axis=-1)
    np.testing.assert_allclose(lengths, phantom.fractions > 0, atol=1e-6)


def test_signal_is_the_mixture_of_the_tissues():
    phantom = crossing_phantom(60.0, shape=SMALL, snr=None)
    gradients = phantom.scan.gradients
    fibres = WHITE_MATTER.signal(gradients.bvalues, phantom.directions @ gradients.directions.T)
    mixture = np.einsum("...f,...fv->...v", phantom.fractions, fibres)
    for tissue, number in ((GREY_MATTER, 1), (CSF, 2)):
        mixture += phantom.tissue_fractions[..., number, None] * tissue.signal(gradients.bvalues)
    straight = (phantom.bundles != 1).all(axis=-1)
    assert straight.sum() > 50
    np.testing.assert_allclose(phantom.noise_free[straight], mixture[straight], atol=3e-3)  # intensity 1000 at b=0
    # The bent bundle's fibres spread within a voxel, by a few degrees here.
    assert 1e-3 < np.abs(phantom.noise_free - mixture).max() < 5.0


def test_seed_alone_decides():
    first, again, other = (crossing_phantom(60.0, shape=SMALL, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.scan.data, again.scan.data)
    np.testing.assert_array_equal(first.directions, again.directions)
    assert np.abs(first.directions - other.directions).max() > 0.1


def test_noise_has_the_snr_asked_at_b0():
    phantom = crossing_phantom(60.0, snr=25.0)
    b0 = phantom.scan.gradients.shells[0].volumes
    noise = phantom.scan.data[..., b0] - phantom.noise_free[..., b0]
    np.testing.assert_allclose(noise.std(), 1000.0 / 25.0, rtol=0.02)


def test_no_snr_is_no_noise():
    phantom = crossing_phantom(60.0, shape=SMALL, snr=None)
    np.testing.assert_array_equal(phantom.scan.data, phantom.noise_free.astype(np.float32))


@pytest.mark.parametrize("protocol", [HARDI, CLINICAL])
def test_responses_are_for_the_shells_of_the_scan(protocol):
    phantom = crossing_phantom(60.0, shape=SMALL, protocol=protocol)
    shells = [shell.bvalue for shell in phantom.scan.gradients.shells]
    assert [response.tissue for response in phantom.responses] == ["wm", "gm", "csf"]
    for response in phantom.responses:
        np.testing.assert_array_equal(response.bvalues, shells)


def test_single_bundle_fills_every_voxel_with_one_fibre():
    phantom = single_bundle(3.0 * AXIS, oblique_flipped_affine(), shape=(3, 2, 1))
    gradients = phantom.scan.gradients
    np.testing.assert_allclose(phantom.fractions, 1.0)
    np.testing.assert_allclose(phantom.directions, np.broadcast_to(AXIS, (3, 2, 1, 1, 3)), atol=1e-6)
    expected = WHITE_MATTER.signal(gradients.bvalues, gradients.directions @ AXIS)
    np.testing.assert_allclose(phantom.noise_free, np.broadcast_to(expected, (3, 2, 1, 126)), atol=2e-3)


def test_dipys_tensor_finds_the_bundles_direction_in_scanner_axes():
    phantom = single_bundle(AXIS, oblique_flipped_affine(), shape=(2, 2, 2), snr=100.0)
    gradients = phantom.scan.gradients
    low = gradients.bvalues <= 1000
    table = gradient_table(gradients.bvalues[low], bvecs=gradients.directions[low])
    main = TensorModel(table).fit(phantom.scan.data[..., low]).evecs[..., 0]
    assert axial_angle(main, np.broadcast_to(AXIS, main.shape)).max() < 1.5


@pytest.mark.parametrize("angle", [0.0, -5.0, 91.0])
def test_impossible_angle_is_refused(angle):
    with pytest.raises(SimulationError, match="angle_degrees"):
        crossing_phantom(angle)


@pytest.mark.parametrize("snr", [0.0, -20.0])
def test_snr_not_above_zero_is_refused(snr):
    with pytest.raises(SimulationError, match="snr"):
        crossing_phantom(60.0, shape=SMALL, snr=snr)
    with pytest.raises(SimulationError, match="snr"):
        single_bundle(AXIS, np.eye(4), snr=snr)


def test_bundle_without_direction_is_refused():
    with pytest.raises(SimulationError, match="direction"):
        single_bundle(np.zeros(3), np.eye(4))
