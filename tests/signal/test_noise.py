import numpy as np
import pytest
from scipy.stats import kstest, ncx2, rice

from shd.signal import noise
from shd.signal.noise import add_magnitude_noise, add_rician_noise


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
