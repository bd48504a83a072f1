"""The scan of a geometry: noise, mask, grid, responses, and what cannot be measured."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ncx2

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.simulation.phantoms import Measurement, centred_grid, measured, simulate
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients
from shd.simulation.tangle import tangle_phantom
from shd.simulation.tissues import WHITE_MATTER, Fibre, tissue_responses

SLOW = Fibre(0.3, 1.2e-3, 0.5e-3)
GRADIENTS = protocol_gradients(CLINICAL)


def slabs(second: Fibre = WHITE_MATTER) -> Geometry:
    """Two tubes side by side, of equal volume, in a ball of 10 mm."""
    bundles = tuple(
        Bundle(name, np.array([[x, -30.0, 0], [x, 30.0, 0]]), np.full(2, 3.0), ends="chord", fibre=fibre)
        for name, x, fibre in (("one", -4.0, WHITE_MATTER), ("two", 4.0, second))
    )
    return Geometry("slabs", bundles, np.full(3, 20.0), outline=Region.ball("outline", np.zeros(3), 10.0))


def phantom(geometry=None, **changes):
    shape, affine = centred_grid(np.full(3, 20.0), 2.0)
    return simulate(geometry or slabs(), GRADIENTS, shape, affine, Measurement(**changes))


def test_mask_is_what_is_half_tissue():
    whole = phantom()
    np.testing.assert_array_equal(whole.scan.mask, whole.tissue_fractions.sum(axis=-1) >= 0.5)
    assert 0.45 < whole.scan.mask.mean() < 0.6  # a ball in its cube: π/6


def test_noise_of_many_coils_is_non_central_chi():
    for coils in (1, 8):
        noisy = phantom(coils=coils, snr=10.0, seed=3)
        pure = noisy.tissue_fractions[..., 1] == 1.0
        volume = 5  # of one intensity in all pure voxels, far below b=0 for CSF only
        level = noisy.noise_free[pure][0, volume] / 100.0
        found = (noisy.scan.data[pure][:, volume] / 100.0) ** 2
        assert found.mean() == pytest.approx(ncx2(2 * coils, level**2).mean(), rel=0.05)
        outside = noisy.scan.data[noisy.tissue_fractions.sum(axis=-1) == 0] / 100.0
        assert (outside**2).mean() == pytest.approx(2 * coils, rel=0.02)


def test_seed_of_the_noise_alone_decides_it():
    first, again, other = (phantom(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.scan.data, again.scan.data)
    np.testing.assert_array_equal(first.noise_free, other.noise_free)
    assert np.abs(first.scan.data - other.scan.data).max() > 10


def test_response_of_white_matter_is_the_mean_over_its_volume():
    bvalues = np.array([0.0, 1000.0])
    fast, slow = (tissue_responses(bvalues, fibre=fibre)[0].coefficients for fibre in (WHITE_MATTER, SLOW))
    np.testing.assert_allclose(phantom().responses[0].coefficients, fast)
    np.testing.assert_allclose(phantom(slabs(SLOW)).responses[0].coefficients, (fast + slow) / 2, rtol=1e-6)


def test_grid_covers_the_extent_around_the_origin():
    shape, affine = centred_grid(np.array([20.0, 21.0, 7.0]), 2.0)
    assert shape == (10, 11, 4)
    np.testing.assert_allclose(affine @ [4.5, 5.0, 1.5, 1], [0, 0, 0, 1])


def test_points_of_a_voxel_can_be_more():
    coarse, fine = phantom(snr=None, subsamples=2), phantom(snr=None, subsamples=6)
    volume = [p.tissue_fractions[..., 0].sum() * 8 for p in (coarse, fine)]
    exact = phantom(snr=None, subsamples=12).tissue_fractions[..., 0].sum() * 8
    assert abs(volume[1] - exact) < abs(volume[0] - exact)


def test_tangle_is_measured_on_its_ball_by_any_protocol():
    tangle = tangle_phantom(4, extent_mm=24.0, voxel_mm=3.0, protocol=RESEARCH, snr=None, seed=2)
    assert tangle.scan.shape == (8, 8, 8)
    assert [len(shell.volumes) for shell in tangle.scan.gradients.shells] == [6, 30, 30, 60]
    assert set(np.unique(tangle.bundles)) == {-1, 0, 1, 2, 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr": 0.0}, "snr 0"),
        ({"snr": float("nan")}, "snr nan"),
        ({"coils": 0}, "coils 0"),
        ({"subsamples": 17}, "subsamples 17"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_measurement_is_refused(changes, message):
    with pytest.raises(SimulationError, match=message):
        Measurement(**changes)


def test_impossible_grids_are_refused():
    with pytest.raises(SimulationError, match="voxel size 0"):
        centred_grid(np.ones(3), 0.0)
    with pytest.raises(SimulationError, match="0 × 5 × 5 voxels: give 1 to 512"):
        centred_grid(np.array([0.0, 10.0, 10.0]), 2.0)
    with pytest.raises(SimulationError, match="1000 × 10 × 10 voxels"):
        centred_grid(np.array([1000.0, 10, 10]), 1.0)
    with pytest.raises(SimulationError, match="no inverse"):
        simulate(slabs(), GRADIENTS, (4, 4, 4), np.diag([1.0, 1.0, 0.0, 1.0]))
    outside = replace(slabs(), outline=Region.ball("outline", np.array([0.0, 50.0, 0.0]), 5.0))
    with pytest.raises(SimulationError, match="0 of 1000 voxels hold tissue"):
        measured(outside)
