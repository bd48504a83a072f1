"""The residual of true fODFs is the noise; of wrong ones, and where a voxel is spoilt, it is more."""

import numpy as np
import pytest

from shd.evaluation.residual_map import residual_map
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.scans.normalisation import normalise
from shd.simulation import crossing_phantom
from shd.simulation.protocols import HARDI, RESEARCH

SNR = 20.0


def residual_of(phantom, fods=None):
    truth, scan = Truth.of(phantom), normalise(phantom.scan)
    tissues = {name: truth.tissue_fractions[..., n] / np.sqrt(4 * np.pi) for n, name in ((1, "gm"), (2, "csf"))}
    fod = FodField(truth.fods if fods is None else fods(truth.fods), tissues, truth.affine, truth.mask)
    return residual_map(scan, fod, phantom.responses, noise_of(scan)), scan, fod


def noise_of(scan):
    return (1000.0 / SNR / scan.b0).astype(np.float32)  # every tissue of the phantom has a b=0 signal of its own


@pytest.fixture(scope="module")
def phantom():
    return crossing_phantom(60.0, shape=(8, 8, 5), snr=SNR, protocol=RESEARCH)


def test_true_fods_leave_the_noise(phantom):
    residual, scan, _ = residual_of(phantom)
    inside = residual[scan.rows >= 0]
    assert 0.9 < np.median(inside) < 1.1 and np.percentile(inside, 99) < 1.6
    assert not residual[scan.rows < 0].any()


def test_wrong_fods_leave_more(phantom):
    right, scan, _ = residual_of(phantom)
    white = Truth.of(phantom).scored & (scan.rows >= 0)
    turned, _, _ = residual_of(phantom, lambda fods: np.roll(fods, 3, axis=0))
    assert np.median(turned[white]) > 1.3 * np.median(right[white])


def test_by_a_loop_over_volumes(phantom):
    """Without noise the floor is nothing, and the definition is a sum."""
    residual, scan, fod = residual_of(phantom)
    voxel = tuple(scan.voxels[len(scan.voxels) // 2])
    row = scan.rows[voxel]
    from shd.evaluation.signal_prediction import predicted_signal

    chosen = np.zeros(fod.mask.shape, bool)
    chosen[voxel] = True
    predicted = predicted_signal(fod, phantom.responses, scan.gradients, chosen)[0]
    deviation = float(noise_of(scan)[row]) * float(scan.b0[row])
    total, count = 0.0, 0
    for shell in scan.gradients.weighted_shells:
        for volume in shell.volumes:
            samples = np.random.default_rng(int(volume)).standard_normal((2, 200_000)) * deviation
            mean = np.hypot(max(predicted[volume], 0.0) + samples[0], samples[1]).mean()  # of a Rician magnitude
            total += ((scan.signal[row, volume] * scan.b0[row] - mean) / deviation) ** 2
            count += 1
    assert residual[voxel] == pytest.approx(np.sqrt(total / count), rel=0.01)


def test_a_spoilt_voxel_stands_out():
    spoilt = crossing_phantom(60.0, shape=(8, 8, 5), snr=SNR, protocol=HARDI)
    before, scan, fod = residual_of(spoilt)
    voxel = tuple(scan.voxels[40])
    row = scan.rows[voxel]
    scan.signal[row, scan.gradients.weighted_shells[0].volumes[::4]] = 1.0  # spikes in a quarter of the volumes
    after = residual_map(scan, fod, spoilt.responses, noise_of(scan))
    assert after[voxel] > 1.5 * before[voxel]
    others = np.ones(after.shape, bool)
    others[voxel] = False
    np.testing.assert_array_equal(after[others], before[others])
