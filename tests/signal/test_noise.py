import numpy as np
import pytest
import torch
from scipy.stats import kstest, ncx2, rice

from shd.signal import noise
from shd.signal.noise import add_magnitude_noise, add_rician_noise, rician_bias, rician_bias_polynomial


@pytest.mark.parametrize("level", [0.0, 30.0, 1000.0])
def test_noise_follows_scipys_rice_distribution(level):
    noisy = add_rician_noise(np.full(20_000, level), 50.0, np.random.default_rng(3))
    assert kstest(noisy, rice(level / 50.0, scale=50.0).cdf).pvalue > 0.01


def test_noise_of_one_generator_state_repeats():
    signal = np.linspace(0, 100, 30).reshape(5, 6)
    first, second, other = (add_rician_noise(signal, 5.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).min() > 0


def test_no_deviation_leaves_the_signal():
    signal = np.linspace(0, 100, 7)
    np.testing.assert_array_equal(add_rician_noise(signal, 0.0, np.random.default_rng(0)), signal)


@pytest.mark.parametrize("deviation", [-1.0, np.nan])
def test_impossible_deviation_is_refused(deviation):
    with pytest.raises(ValueError, match="deviation"):
        add_rician_noise(np.ones(3), deviation, np.random.default_rng(0))


@pytest.mark.parametrize("coils", [2, 16])
@pytest.mark.parametrize("level", [0.0, 80.0])
def test_noise_of_many_coils_follows_scipys_non_central_chi_squared(coils, level):
    noisy = add_magnitude_noise(np.full(20_000, level), 40.0, coils, np.random.default_rng(4))
    assert kstest((noisy / 40.0) ** 2, ncx2(2 * coils, (level / 40.0) ** 2).cdf).pvalue > 0.01


def test_noise_is_drawn_in_pieces_that_do_not_show(monkeypatch):
    signal = np.linspace(0, 100, 3000).reshape(30, 100)
    whole = add_rician_noise(signal, 5.0, np.random.default_rng(1))
    monkeypatch.setattr(noise, "_CHUNK", 77)
    np.testing.assert_array_equal(add_rician_noise(signal, 5.0, np.random.default_rng(1)), whole)


def test_noise_leaves_the_signal_given_untouched_and_keeps_its_type():
    signal = np.full((4, 5), 10.0, np.float32)
    assert add_magnitude_noise(signal, 5.0, 4, np.random.default_rng(0)).dtype == np.float32
    np.testing.assert_array_equal(signal, 10.0)


def test_no_coil_is_refused():
    with pytest.raises(ValueError, match="coils 0"):
        add_magnitude_noise(np.ones(3), 1.0, 0, np.random.default_rng(0))


RATIOS = np.concatenate([[0.0], np.logspace(-3, 3, 400), np.linspace(62, 65, 50)])  # S/σ; the expansion begins at 63.2


def rice_bias(ratio):
    """The mean of scipy's distribution less S, for σ = 1; far above the noise, where scipy fails, the expansion."""
    near = np.minimum(ratio, 30.0)
    far = np.maximum(ratio, 1.0)
    return np.where(ratio < 30, rice.mean(near) - ratio, 1 / (2 * far) + 1 / (8 * far**3) + 3 / (16 * far**5))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 3e-5)], ids=["float64", "float32"]
)
def test_the_bias_is_the_mean_of_scipys_rice_distribution_less_the_signal(dtype, tolerance):
    """In units of σ, at two levels of it; below the expansion float64 is right to rounding."""
    expected = rice_bias(RATIOS)
    for deviation in (0.05, 300.0):
        signal = torch.from_numpy(deviation * RATIOS).to(dtype)
        found = rician_bias(signal, torch.full((1,), deviation, dtype=dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(found.numpy() / deviation, expected, rtol=0, atol=tolerance)
        if dtype == torch.float64:
            near = RATIOS < 30
            np.testing.assert_allclose(found.numpy()[near] / deviation, expected[near], rtol=1e-11, atol=1e-12)


def test_the_bias_is_that_of_simulated_magnitudes():
    levels = np.array([0.0, 1.0, 2.5, 6.0])
    noisy = add_rician_noise(np.repeat(levels[:, None], 400_000, axis=1), 2.0, np.random.default_rng(5))
    found = rician_bias(torch.from_numpy(levels), torch.tensor([2.0], dtype=torch.float64))
    np.testing.assert_allclose(noisy.mean(axis=1) - levels, found, atol=5 * 2.0 / 400_000**0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_deviation_is_no_bias(dtype):
    signal = torch.tensor([0.0, 1e-20, 1e-13, 1e-11, 1e-6, 1.0, 1e6], dtype=dtype)
    found = rician_bias(signal, torch.zeros(1, dtype=dtype))
    assert float(found.abs().max()) < 1e-10 and bool(found.isfinite().all())


def test_each_voxel_has_its_own_deviation():
    signal, deviation = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)), torch.linspace(0, 0.4, 5)[:, None]
    found = rician_bias(signal, deviation)
    for row in range(5):
        torch.testing.assert_close(found[row], rician_bias(signal[row], deviation[row]))


def test_the_polynomial_is_the_bias_to_a_few_millionths_of_the_noise():
    signal = np.concatenate([np.linspace(0, 20, 2001), np.geomspace(20, 1e5, 500)])
    x = 1 / (1 + signal / 2)
    found = x * np.polyval(rician_bias_polynomial(), 2 * x - 1)
    exact = rician_bias(torch.from_numpy(signal), torch.ones(1, dtype=torch.float64)).numpy()
    assert np.abs(found - exact).max() < 4e-6
