"""The true fODFs of a phantom, as smooth as an output of finite degree can show them."""

import numpy as np
from jaxtyping import Float

from shd.simulation.phantoms import Phantom
from shd.sphere.harmonics import coefficient_count, degree_of_count, gaussian_factors

__all__ = ["true_fods"]


def true_fods(
    phantom: Phantom, *, degree: int = 12, smoothing_degrees: float = 5.0
) -> Float[np.ndarray, "x y z coeff"]:
    """Return the phantom's fODFs cut at `degree` and times exp(−σ²l(l+1)/2): a Gaussian of width σ around each fibre.

    The ceiling of every table: what the peak finder and the scores make of the right answer. With σ = 0 it is the exact
    distribution of the fibres cut at `degree`, whose convolution with the response is the noise-free signal.

    Coefficients: MRtrix3 basis, scanner axes, per response (a voxel filled by fibres has l=0 coefficient 1/√4π).
    degree: even, at most that of the phantom (12). Raises ValueError for one that is higher.
    """
    highest = degree_of_count(phantom.fods.shape[-1])
    if degree > highest:
        raise ValueError(f"degree {degree}: the phantom's fODFs are known to degree {highest}")
    smoothing = gaussian_factors(degree, smoothing_degrees)
    return phantom.fods[..., : coefficient_count(degree)].astype(np.float64) * smoothing
