import numpy as np
import pytest
from scipy.stats import kstest, rice

from shd.signal.noise import add_rician_noise


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
