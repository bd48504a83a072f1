"""A linear estimate of the fibres of a voxel, and how far the protocol lets it see.

The fODF of degree L that is expected, given the signal, where fODFs and noise are Gaussian: m = C Aᵀ(A C Aᵀ + σ²)⁻¹ s
(Wiener). C is the same in all directions, with the power of one fibre that may point anywhere, equal in every harmonic.
It is not non-negative and blurs more than `first_estimate`; but being linear it keeps what is hidden in the noise, and
means over voxels keep it too.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.scans.first_estimate import Design
from shd.sphere.harmonics import coefficient_degrees, even_harmonics

__all__ = ["DEGREE", "LinearEstimate", "linear_estimate"]

DEGREE = 8
"""Highest degree: what remains of higher ones at b = 3000 is below the noise of any voxel."""

_WHITE_MATTER, _DEVIATION = 0.5, 0.3  # of the part that white matter has, over a brain's voxels
_ISOTROPIC = 0.3  # mean and deviation of the part of any other tissue


@dataclass(frozen=True, eq=False)
class LinearEstimate:
    """Density of the white matter at the vertices (mean: its part of S₀) = matrix @ S/S₀ + offset.

    resolution: part of each degree (2, 4, … `DEGREE`) that is seen, on average over its harmonics: 1 exactly, 0 not.
    """

    matrix: Float[np.ndarray, "vertex volume"]
    offset: Float[np.ndarray, " vertex"]
    resolution: Float[np.ndarray, " degree"]


def linear_estimate(model: Design, vertices: Float[np.ndarray, "vertex 3"], noise: float) -> LinearEstimate:
    """Return the estimate of a scan's voxels at this deviation of S/S₀.

    model: `shd.scans.first_estimate.design` at these vertices. Volumes that are no data there are none here.
    """
    count = len(vertices)
    values = even_harmonics(vertices, DEGREE)
    degrees = coefficient_degrees(DEGREE)
    used = np.flatnonzero(model.weight.numpy() > 0)
    columns = (model.columns / model.scale).numpy()[used]
    # a density Σ c_j Y_j of mean c₀/√4π has the signal Σ_u (1/V)·density(u)·(V·column u)
    fibres = columns[:, :count] @ values
    design = np.concatenate([fibres, columns[:, count:]], axis=1)
    power = np.full(len(degrees), 1.0)  # one fibre of density 4π δ has Σ_m c_lm² = 4π(2l + 1): 4π a harmonic
    prior = np.concatenate(
        [4 * np.pi * (_WHITE_MATTER**2 + _DEVIATION**2) * power, np.full(columns.shape[1] - count, _ISOTROPIC**2)]
    )
    prior[0] = 4 * np.pi * _DEVIATION**2
    mean = np.zeros(len(prior))
    mean[0] = np.sqrt(4 * np.pi) * _WHITE_MATTER
    mean[len(degrees) :] = _ISOTROPIC if len(mean) > len(degrees) else 0.0
    spread = prior[:, None] * design.T
    gain = np.linalg.solve(design @ spread + noise**2 * np.eye(len(used)), spread.T).T[: len(degrees)]
    matrix = np.zeros((count, len(model.weight)))
    matrix[:, used] = values @ gain
    seen = np.einsum("jv,vj->j", gain, fibres)
    resolution = np.array([seen[degrees == degree].mean() for degree in range(2, DEGREE + 1, 2)])
    return LinearEstimate(matrix, values @ (mean[: len(degrees)] - gain @ design @ mean), resolution)
