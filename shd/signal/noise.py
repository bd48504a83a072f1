"""Measurement noise of magnitude images."""

import numpy as np
from jaxtyping import Float

__all__ = ["add_rician_noise"]


def add_rician_noise(
    signal: Float[np.ndarray, "*grid"], deviation: float, generator: np.random.Generator
) -> Float[np.ndarray, "*grid"]:
    """Return |S + n₁ + i·n₂| with n₁, n₂ ~ N(0, σ²): the magnitude image of a single-coil acquisition.

    Source: Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995), eq. 1. The SNR of an image at signal level S is S/σ,
    σ being the deviation of either channel, not of the magnitude.

    signal: noise-free magnitudes. deviation: σ in the same units, 0 or more. generator: the source of randomness.
    """
    if not deviation >= 0:
        raise ValueError(f"deviation {deviation}: the noise's standard deviation is 0 or more")
    real = signal + deviation * generator.standard_normal(signal.shape)
    imaginary = deviation * generator.standard_normal(signal.shape)
    return np.hypot(real, imaginary)
