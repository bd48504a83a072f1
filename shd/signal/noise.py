"""Measurement noise of magnitude images."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.polynomial import chebyshev
from torch import Tensor

__all__ = ["add_magnitude_noise", "add_rician_noise", "rician_bias", "rician_bias_polynomial"]

_CHUNK = 1 << 20  # numbers drawn at a time, so that memory stays bounded
_BIAS_DEGREE = 20


def add_rician_noise(
    signal: Float[np.ndarray, "*grid"], deviation: float, generator: np.random.Generator
) -> Float[np.ndarray, "*grid"]:
    """Return |S + n₁ + i·n₂| with n₁, n₂ ~ N(0, σ²): the magnitude image of a single-coil acquisition.

    Source: Gudbjartsson and Patz, Magn. Reson. Med. 34 (1995), eq. 1. The SNR of an image at signal level S is S/σ,
    σ being the deviation of either channel, not of the magnitude.

    signal: noise-free magnitudes. deviation: σ in the same units, 0 or more. generator: the source of randomness.
    """
    return add_magnitude_noise(signal, deviation, 1, generator)


def add_magnitude_noise(
    signal: Float[np.ndarray, "*grid"], deviation: float, coils: int, generator: np.random.Generator
) -> Float[np.ndarray, "*grid"]:
    """Return the root of the sum over coils of |S_c + n₁ + i·n₂|², with Σ S_c² = S²: non-central χ of 2N degrees.

    Source: Constantinides, Atalar and McVeigh, Magn. Reson. Med. 38 (1997), eq. 2. Only ΣS_c² matters, so S stands in
    one channel and the other 2N − 1 are noise alone, whose squares sum to σ²χ²; one coil is Rician.

    signal: noise-free magnitudes. deviation: σ of each channel, in the same units, 0 or more. coils: N, 1 or more.
    generator: the source of randomness. Returns the dtype of `signal`; beyond that array memory is bounded.
    """
    if not deviation >= 0:
        raise ValueError(f"deviation {deviation}: the noise's standard deviation is 0 or more")
    if coils < 1:
        raise ValueError(f"coils {coils}: an image is measured with at least 1")
    flat = np.ascontiguousarray(signal).reshape(-1).copy()
    chunks = [slice(start, start + _CHUNK) for start in range(0, flat.size, _CHUNK)]
    for part in chunks:
        flat[part] += deviation * generator.standard_normal(len(flat[part]))
    for part in chunks:
        count = len(flat[part])
        rest = generator.standard_normal(count) if coils == 1 else np.sqrt(generator.chisquare(2 * coils - 1, count))
        flat[part] = np.hypot(flat[part], deviation * rest)
    return flat.reshape(signal.shape)


def rician_bias(signal: Float[Tensor, "*grid"], deviation: Float[Tensor, "*#grid"]) -> Float[Tensor, "*grid"]:
    """Return how much the mean of a Rician magnitude lies above the noise-free signal.

    The mean is σ√(π/2)·L(−S²/2σ²), L(−2t) = e^−t((1 + 2t)I₀(t) + 2t·I₁(t)) with t = S²/4σ² (Gudbjartsson and Patz,
    Magn. Reson. Med. 34 (1995), eq. 3): 1.25σ without signal, σ²/2S far above the noise.

    signal: noise-free magnitudes, 0 or more. deviation: σ in the same units, 0 or more.
    """
    t = (signal / (2 * deviation.clamp(min=1e-12))).square().clamp(max=1e4)
    mean = (1 + 2 * t) * torch.special.i0e(t) + 2 * t * torch.special.i1e(t)
    # beyond the clamp the two parts would cancel; there the bias is its expansion, a hundredth of σ and less
    far = deviation.square() / (2 * signal.clamp(min=1e-12))
    return torch.where(t < 1e3, deviation * ((torch.pi / 2) ** 0.5 * mean) - signal, far)


@lru_cache(maxsize=1)
def rician_bias_polynomial() -> Float[np.ndarray, " power"]:
    """Return what the bias is computed from without Bessel functions: P, the highest power first.

    With x = 1/(1 + S/2σ), which falls from 1 without signal to 0, the bias is σ·x·P(2x − 1), to 4e-6·σ. P interpolates
    `rician_bias` at Chebyshev's points.
    """
    points = chebyshev.chebpts1(_BIAS_DEGREE + 1)
    x = torch.from_numpy((points + 1) / 2)
    scaled = (rician_bias(2 * (1 / x - 1), torch.ones(1, dtype=torch.float64)) / x).numpy()
    return chebyshev.cheb2poly(chebyshev.chebfit(points, scaled, _BIAS_DEGREE))[::-1]
