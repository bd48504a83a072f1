"""The true fODFs of a phantom, as smooth as an output of finite degree can show them."""

import numpy as np
from jaxtyping import Float

from shd.simulation.phantoms import Phantom
from shd.sphere.harmonics import coefficient_count, coefficient_degrees, even_harmonics

__all__ = ["true_fods"]


def true_fods(
    phantom: Phantom, *, degree: int = 12, smoothing_degrees: float = 5.0
) -> Float[np.ndarray, "x y z coeff"]:
    """Return Σ_f w_f Σ_lm exp(−σ²l(l+1)/2) Y_lm(u_f) Y_lm: a Gaussian of width σ around each fibre, weighted.

    The ceiling of every table: what the peak finder and the scores make of the right answer. With σ = 0 and a straight
    fibre it is the exact fODF cut at `degree`, whose convolution with the response is the noise-free signal.

    Coefficients: MRtrix3 basis, scanner axes, per response (a voxel filled by fibres has l=0 coefficient 1/√4π).
    """
    grid, fibres = phantom.fractions.shape[:-1], phantom.fractions.shape[-1]
    harmonics = even_harmonics(phantom.directions.reshape(-1, 3), degree)
    harmonics = harmonics.reshape(*grid, fibres, coefficient_count(degree))
    order = coefficient_degrees(degree)
    smoothing = np.exp(-0.5 * np.radians(smoothing_degrees) ** 2 * order * (order + 1))
    return np.einsum("...f,...fc->...c", phantom.fractions, harmonics) * smoothing
