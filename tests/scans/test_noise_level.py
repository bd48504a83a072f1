from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rice

from shd.scans.noise_level import _variance, noise_level
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.gradients import gradient_table
from shd.signal.noise import add_rician_noise
from shd.simulation import crossing_phantom
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, Protocol, protocol_gradients
from shd.simulation.tissues import B0_INTENSITY, CSF, GREY_MATTER, WHITE_MATTER
from shd.sphere.directions import half_sphere, normalised

SHAPE = (20, 20, 10)


def brain(gradients, seed=0):
    """Noise-free intensities: two fibres at random in every voxel, with grey matter and fluid in many."""
    generator = np.random.default_rng(seed)
    count = np.prod(SHAPE)
    parts = generator.dirichlet([1.0, 0.5, 0.5, 0.2], count)
    balls = np.stack([tissue.signal(gradients.bvalues) for tissue in (GREY_MATTER, CSF)])
    signal = parts[:, 2:] @ balls
    for fibre in range(2):
        axes = normalised(generator.standard_normal((count, 3)))
        signal += parts[:, fibre, None] * WHITE_MATTER.signal(gradients.bvalues[None], axes @ gradients.directions.T)
    return signal.reshape(*SHAPE, -1)


def measured(data, gradients, deviation, seed=0):
    if deviation:
        data = add_rician_noise(data, deviation, np.random.default_rng(seed))
    return normalise(Scan(data.astype(np.float32), np.eye(4), gradients, np.ones(SHAPE, bool)))


@pytest.mark.parametrize("snr", [10, 20, 30])
@pytest.mark.parametrize("protocol", [CLINICAL, HARDI, RESEARCH], ids=lambda p: p.name)
def test_the_noise_that_was_added_is_found(protocol, snr):
    """At b = 3000 and SNR 10 most of the signal is within the noise, whose magnitude varies by 0.65 σ there."""
    gradients = protocol_gradients(protocol)
    found = noise_level(measured(brain(gradients), gradients, B0_INTENSITY / snr))
    assert found == pytest.approx(B0_INTENSITY / snr, rel=0.04)


def test_the_variance_for_a_mean_is_that_of_scipys_rice_distribution():
    signal = np.linspace(0, 12, 30)
    np.testing.assert_allclose(_variance(rice.mean(signal)), rice.var(signal), rtol=1e-3)
    np.testing.assert_allclose(_variance(np.array([0.0, 1.0, 200.0])), [2 - np.pi / 2, 2 - np.pi / 2, 1], rtol=2e-3)


def test_without_noise_hardly_any_is_found():
    """What harmonics up to degree 6 leave of a fibre at b = 1000."""
    gradients = protocol_gradients(CLINICAL)
    assert 0 <= noise_level(measured(brain(gradients), gradients, 0.0)) < 1e-3 * B0_INTENSITY


def test_a_few_broken_voxels_do_not_move_it():
    gradients = protocol_gradients(RESEARCH)
    scan = measured(brain(gradients), gradients, 50.0)
    signal, generator = scan.signal.copy(), np.random.default_rng(1)
    broken = generator.choice(len(signal), len(signal) // 30, replace=False)
    signal[broken] = generator.uniform(0, 2, (len(broken), signal.shape[1]))
    assert noise_level(replace(scan, signal=signal)) == pytest.approx(noise_level(scan), rel=0.04)


def test_a_gain_of_the_scanner_is_a_gain_of_the_noise():
    """Each voxel has its own b=0 signal, but the noise is one: coils and fluid do not change it."""
    gradients = protocol_gradients(RESEARCH)
    gain = np.random.default_rng(2).uniform(0.8, 3.0, SHAPE)[..., None]
    assert noise_level(measured(gain * brain(gradients), gradients, 50.0)) == pytest.approx(50.0, rel=0.04)
    scan = measured(brain(gradients), gradients, 50.0)
    assert noise_level(replace(scan, b0=7 * scan.b0)) == pytest.approx(7 * noise_level(scan), rel=1e-6)


def test_directions_measured_more_than_once_are_noise_measured_directly():
    """Ten axes three times: fewer are fitted than the degree that 30 directions allow has coefficients."""
    axes = np.tile(half_sphere(10), (3, 1))
    gradients = gradient_table(np.r_[np.zeros(3), np.full(30, 1000.0)], np.concatenate([np.zeros((3, 3)), axes]))
    found = noise_level(measured(brain(gradients), gradients, 50.0))
    assert found == pytest.approx(50.0, rel=0.04)


def test_a_shell_too_sparse_for_a_fit_is_passed_over():
    """Six directions allow a mean alone, of which every fibre departs."""
    gradients = protocol_gradients(replace(RESEARCH, shells=((500.0, 6), (1000.0, 30))))
    assert noise_level(measured(brain(gradients), gradients, 50.0)) == pytest.approx(50.0, rel=0.04)


@pytest.mark.parametrize(("bvalue", "directions"), [(1000.0, 6), (3000.0, 12), (3000.0, 16)])
@pytest.mark.parametrize("snr", [10, 30])
def test_where_directions_are_few_repeats_of_b0_tell(bvalue, directions, snr):
    gradients = protocol_gradients(Protocol("few", 4, ((bvalue, directions),)))
    found = noise_level(measured(brain(gradients), gradients, B0_INTENSITY / snr))
    assert found == pytest.approx(B0_INTENSITY / snr, rel=0.05)


@pytest.mark.parametrize("shells", [((1000.0, 6),), ((3000.0, 12),), ((1000.0, 15), (3000.0, 15))])
def test_without_repeats_neighbours_or_a_rough_fit_tell(shells):
    """Both are too high; of a phantom at SNR 20, which is coarse, by less than a third."""
    phantom = crossing_phantom(60.0, shape=(10, 10, 6), protocol=Protocol("few", 2, shells), seed=1)
    true = B0_INTENSITY / 20
    assert 0.95 * true < noise_level(normalise(phantom.scan)) < 1.35 * true


def test_volumes_that_were_copied_are_no_repeats():
    gradients = protocol_gradients(Protocol("few", 3, ((1000.0, 12),)))
    scan = measured(brain(gradients), gradients, 50.0)
    signal = scan.signal.copy()
    signal[:, gradients.b0_volumes] = 1.0
    assert noise_level(replace(scan, signal=signal)) == pytest.approx(50.0, rel=0.4)


def test_lines_of_two_voxels_and_few_directions_say_nothing():
    gradients = protocol_gradients(Protocol("few", 1, ((1000.0, 6),)))
    whole = brain(gradients)[:2, :2, :2]
    assert noise_level(normalise(Scan(whole.astype(np.float32), np.eye(4), gradients, np.ones((2, 2, 2), bool)))) == 0.0


def test_voxels_without_b0_signal_and_empty_masks_are_no_error():
    gradients = protocol_gradients(CLINICAL)
    scan = measured(brain(gradients), gradients, 50.0)
    dark = np.arange(len(scan.b0)) % 2 == 0
    signal, b0 = np.where(dark[:, None], np.float32(0), scan.signal), np.where(dark, np.float32(0), scan.b0)
    assert noise_level(replace(scan, signal=signal, b0=b0)) == pytest.approx(50.0, rel=0.05)
    assert noise_level(replace(scan, b0=np.zeros_like(b0))) == 0.0
    nothing = replace(scan, signal=signal[:0], b0=b0[:0], rows=np.full(SHAPE, -1))
    assert noise_level(nothing) == 0.0


def test_large_scans_are_looked_at_in_part(monkeypatch):
    gradients = protocol_gradients(HARDI)
    scan = measured(brain(gradients), gradients, 50.0)
    monkeypatch.setattr("shd.scans.noise_level._VOXELS", 500)
    assert noise_level(scan) == pytest.approx(50.0, rel=0.06)
    assert noise_level(scan) == noise_level(replace(scan, signal=np.array(scan.signal, order="F")))
