"""Split-half agreement, from peaks placed by hand and from a phantom."""

import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.cross_validation import with_volumes
from shd.evaluation.split_half import anisotropic_voxels, peak_agreement, split_half
from shd.evaluation.truth import Truth
from shd.fodf.peaks import Peaks
from shd.simulation import crossing_phantom
from shd.simulation.protocols import HARDI
from tests.evaluation.test_peak_matching import at


def peaks(*voxels: tuple[float, ...]) -> Peaks:
    """Peaks of each voxel in the xy plane, highest first, at angles from x; absent where NaN."""
    angles = np.array(voxels)
    present = np.isfinite(angles)
    directions = np.stack([at(*row)[0] for row in np.nan_to_num(angles)]) * present[..., None]
    amplitudes = present / (1.0 + np.arange(angles.shape[1]))
    return Peaks(directions.astype(np.float32), amplitudes.astype(np.float32))


NONE = float("nan")


def all_of(count: int) -> np.ndarray:
    return np.ones((count, 1, 1), dtype=bool)


def test_agreement_counted_by_hand():
    first = peaks((0, 90), (0, NONE), (0, 60))
    second = peaks((10, 80), (4, 70), (NONE, NONE))
    agreement = peak_agreement(first, second, all_of(3))
    np.testing.assert_allclose(agreement.angles.ravel(), [10, 4, 90], atol=1e-4)
    assert agreement.main_angle == pytest.approx(10) and agreement.main_angle_mean == pytest.approx(104 / 3)
    assert agreement.equal_counts == pytest.approx(1 / 3)
    assert agreement.f1 == pytest.approx(2 * 3 / (5 + 4))
    assert agreement.voxels == 3


def test_main_peaks_may_change_places():
    agreement = peak_agreement(peaks((0, 90)), peaks((88, 3)), all_of(1))
    assert agreement.main_angle == pytest.approx((3 + 2) / 2, abs=1e-4)


def test_agreement_is_the_same_both_ways():
    generator = np.random.default_rng(0)
    first, second = (peaks(*generator.uniform(0, 180, size=(40, 3))) for _ in range(2))
    one, other = peak_agreement(first, second, all_of(40)), peak_agreement(second, first, all_of(40))
    assert (one.main_angle, one.equal_counts, one.f1) == pytest.approx((other.main_angle, 1.0, other.f1))


def test_only_the_chosen_voxels_are_on_the_map():
    voxels = np.array([True, False, True]).reshape(3, 1, 1)
    assert np.isnan(peak_agreement(peaks((0, 90), (0, 90)), peaks((0, 90), (0, 90)), voxels).angles[1, 0, 0])


@pytest.fixture(scope="module")
def phantom():
    return crossing_phantom(70.0, shape=(8, 8, 5), protocol=HARDI, snr=25.0)


def csd(scan, responses):
    return constrained_deconvolution(scan, response=responses[0], degree=6)


def test_halves_share_no_volume_and_agree_more_with_less_noise(phantom):
    seen = []

    def recorded(scan, responses):
        seen.append(scan)
        return csd(scan, responses)

    white = Truth.of(phantom).scored
    noisy = split_half(recorded, phantom.scan, phantom.responses[:1], voxels=white, threshold=0.2)
    assert [len(scan.gradients.bvalues) for scan in seen] == [34, 34]
    volumes = {volume.tobytes() for scan in seen for volume in np.moveaxis(scan.data, -1, 0)}
    assert len(volumes) == 68
    cleaner = crossing_phantom(70.0, shape=(8, 8, 5), protocol=HARDI, snr=100.0)
    clean = split_half(csd, cleaner.scan, cleaner.responses[:1], voxels=white, threshold=0.2)
    assert clean.main_angle < noisy.main_angle < 10
    assert clean.f1 > noisy.f1 > 0.5
    assert noisy.voxels == white.sum()


def test_a_single_b0_is_given_to_both_halves(phantom):
    one_b0 = with_volumes(phantom.scan, np.r_[0, 4:68])
    counts = []

    def counted(scan, responses):
        counts.append(len(scan.gradients.b0_volumes))
        return csd(scan, responses)

    split_half(counted, one_b0, phantom.responses[:1])
    assert counts == [1, 1]


def test_anisotropic_voxels_are_white_matter(phantom):
    truth = Truth.of(phantom)
    chosen = anisotropic_voxels(phantom.scan)
    assert chosen[truth.tissue_fractions[..., 0] == 1].mean() > 0.9
    assert chosen[truth.tissue_fractions[..., 0] == 0].mean() < 0.1


def test_too_few_directions_or_voxels_are_refused(phantom):
    few = with_volumes(phantom.scan, np.arange(14))
    with pytest.raises(EvaluationError, match="b=3000 has 10 directions, of which 5 would remain"):
        split_half(csd, few, phantom.responses[:1])
    with pytest.raises(EvaluationError, match="0 of 320 voxels"):
        split_half(csd, phantom.scan, phantom.responses[:1], voxels=np.zeros((8, 8, 5), dtype=bool))
