"""Spherical features of a voxel: its signal, and a first linear deconvolution, on the vertices of the hemisphere.

Both are linear in the signal, so a scan needs one matrix. The published network takes the signal of each shell alone;
the linear deconvolution beside it starts the network at what it is to refine, which saves most of the training.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shd.signal.forward_model import fibre_signal
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.sphere.harmonics import (
    coefficient_count,
    coefficient_degrees,
    even_harmonics,
    harmonic_fit_matrix,
    highest_degree_for,
    zonal_factors,
)

__all__ = ["feature_count", "feature_matrix", "linear_deconvolution", "shell_interpolation", "spherical_features"]

_SMOOTHNESS = 0.006
"""Laplace-Beltrami weight of the shell fits: the value of Descoteaux et al. 2007."""

_SHELL_DEGREE = 8
_DECONVOLUTION_DEGREE = 8
_DECONVOLUTION_RIDGE = 3e-7
"""Measured on crossings at SNR 20: the linear estimate separates 45° best from 1e-7 to 3e-7 and is least noisy at 3e-7."""


def shell_interpolation(
    gradients: Gradients, vertices: Float[np.ndarray, "vertex 3"]
) -> Float[np.ndarray, "shell vertex volume"]:
    """Return the matrices that carry each shell (b > 0) onto the vertices, through a smooth harmonic fit.

    The degree is 8, or what the shell's directions allow.
    """
    matrices = np.zeros((len(gradients.weighted_shells), len(vertices), len(gradients.bvalues)))
    for matrix, shell in zip(matrices, gradients.weighted_shells, strict=True):
        degree = highest_degree_for(len(shell.volumes), _SHELL_DEGREE)
        fit = harmonic_fit_matrix(gradients.directions[shell.volumes], degree, _SMOOTHNESS)
        matrix[:, shell.volumes] = even_harmonics(vertices, degree) @ fit
    return matrices


def linear_deconvolution(
    responses: tuple[Response, ...], gradients: Gradients, vertices: Float[np.ndarray, "vertex 3"]
) -> Float[np.ndarray, "tissue vertex volume"]:
    """Return the matrices of a regularised linear multi-tissue deconvolution, isotropic tissues constant over vertices.

    Minimises |Ac − s|² + λN Σ (l(l+1))² c² over the N weighted volumes, on the harmonic coefficients c of white matter
    and the parts of the other tissues, s being the signal over its b=0 signal. With several tissues the b=0 signal, to
    which their parts must add up, counts as much as all weighted volumes together.
    """
    wm, *others = responses
    degree = min(_DECONVOLUTION_DEGREE, wm.degree)
    count = coefficient_count(degree)
    weighted = np.concatenate([shell.volumes for shell in gradients.weighted_shells])
    scale = [r.mean_signal[0] for r in responses]
    design = np.zeros((len(gradients.bvalues), count + len(others)))
    for shell, zonal in zip(gradients.shells, wm.coefficients, strict=True):
        design[shell.volumes, :count] = even_harmonics(gradients.directions[shell.volumes], degree)
        design[shell.volumes, :count] *= zonal_factors(zonal, degree) / scale[0]
    pole = np.array([[0.0, 0.0, 1.0]])
    for column, (response, b0) in enumerate(zip(others, scale[1:], strict=True), start=count):
        design[:, column] = fibre_signal(response, gradients, pole)[:, 0] / b0
    weight = np.zeros(len(gradients.bvalues))
    weight[weighted] = 1.0
    if others:
        weight[gradients.b0_volumes] = len(weighted) / len(gradients.b0_volumes)
    l = np.concatenate([coefficient_degrees(degree), np.zeros(len(others))])
    ridge = _DECONVOLUTION_RIDGE * len(weighted) * np.maximum((l * (l + 1)) ** 2, 1.0)
    weighted_design = design.T * weight
    solve = np.linalg.solve(weighted_design @ design + np.diag(ridge), weighted_design)
    matrices = np.empty((len(responses), len(vertices), len(gradients.bvalues)))
    matrices[0] = 4 * np.pi * even_harmonics(vertices, degree) @ solve[:count]
    matrices[1:] = solve[count:][:, None]
    return matrices


def feature_count(responses: tuple[Response, ...], gradients: Gradients) -> int:
    """Return how many channels `feature_matrix` makes: one a tissue and one a shell."""
    return len(responses) + len(gradients.weighted_shells)


def feature_matrix(
    responses: tuple[Response, ...], gradients: Gradients, vertices: Float[np.ndarray, "vertex 3"]
) -> Float[np.ndarray, "channel vertex volume"]:
    """Return the matrices from S/S₀ to features: the linear deconvolution of each tissue, then each shell's signal."""
    return np.concatenate(
        [linear_deconvolution(responses, gradients, vertices), shell_interpolation(gradients, vertices)]
    ).astype(np.float32)

def spherical_features(
    matrix: Float[Tensor, "channel vertex volume"],
    signal: Float[Tensor, "voxel volume"],
    mask: Float[Tensor, "batch x y z"],
) -> Float[Tensor, "vertex batch x y z channel"]:
    """Return the features of masked voxels placed on their grid, zero elsewhere."""
    channels, vertices, _ = matrix.shape
    values = (matrix.transpose(0, 1).reshape(vertices * channels, -1) @ signal.T).reshape(vertices, channels, -1)
    out = values.new_zeros((vertices, mask.numel(), channels))
    out[:, mask.flatten() > 0] = values.transpose(1, 2)
    return out.reshape(vertices, *mask.shape, channels)
