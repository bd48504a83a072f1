"""Spherical features of a voxel, on the vertices of the hemisphere: estimates of its tissues, and its signal.

The published network takes the signal of each shell alone. Of the two estimates beside it, the voxel's own and the
coherent one, the network refines the latter.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shd.scans.coherent_estimate import SCALES
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.sphere.harmonics import (
    coefficient_count,
    even_harmonics,
    harmonic_fit_matrix,
    highest_degree_for,
)

__all__ = ["SphericalFeatures", "feature_count", "shell_fits", "spherical_features", "spread_over_grid"]

_SMOOTHNESS = 0.006
"""Laplace-Beltrami weight of the shell fits: the value of Descoteaux et al. 2007."""

_SHELL_DEGREE = 8


_BLOCK = 256
"""Voxels whose channels are interleaved at a time: their fields stay in the processor's cache."""


def shell_fits(gradients: Gradients) -> Float[np.ndarray, "shell coeff volume"]:
    """Return the matrices that fit smooth harmonics to each shell (b > 0).

    The degree is 8, or what the shell's directions allow; coefficients beyond it are zero.
    """
    fits = np.zeros((len(gradients.weighted_shells), coefficient_count(_SHELL_DEGREE), len(gradients.bvalues)))
    for fit, shell in zip(fits, gradients.weighted_shells, strict=True):
        degree = highest_degree_for(len(shell.volumes), _SHELL_DEGREE)
        directions = gradients.directions[shell.volumes]
        fit[: coefficient_count(degree), shell.volumes] = harmonic_fit_matrix(directions, degree, _SMOOTHNESS)
    return fits


def feature_count(responses: tuple[Response, ...], gradients: Gradients) -> int:
    """Return how many channels `SphericalFeatures` makes: one a tissue and scale of the first estimate, one a shell."""
    return SCALES * len(responses) + len(gradients.weighted_shells)


@dataclass(frozen=True, eq=False)
class SphericalFeatures:
    """Places what is known of each voxel on the vertices; the same for all voxels of a scan.

    shells: matrices from S/S₀ to the harmonics of each shell's signal. harmonics: their values at the vertices.
    answers: which of the network's isotropic tissues the scan has: all.
    """

    shells: Float[Tensor, "shell coeff volume"]
    harmonics: Float[Tensor, "vertex coeff"]
    answers: tuple[int, ...]

    def __call__(
        self,
        signal: Float[Tensor, "voxel volume"],
        estimates: Float[Tensor, "voxel scale unknown"],
        noise: Float[Tensor, " voxel"],
        mask: Float[Tensor, "batch x y z"],
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return features of the masked voxels (in C order of `mask`) on their grid, zero elsewhere.

        noise: not used; `shd.scans.fibre_features` takes it. Channels: for each scale of the first estimate white
        matter, then each isotropic tissue (constant over vertices); then each shell's signal.
        """
        vertices, inside = len(self.harmonics), mask.flatten() > 0
        shells = spread_over_grid(torch.einsum("nv,scv->nsc", signal, self.shells), inside)
        first = spread_over_grid(estimates, inside)
        scales, tissues = first.shape[1], 1 + first.shape[2] - vertices
        out = signal.new_empty((vertices, len(inside), scales * tissues + len(self.shells)))
        for start in range(0, len(inside), _BLOCK):
            block = slice(start, start + _BLOCK)
            channels = iter(out[:, block].unbind(-1))
            for scale in range(scales):
                next(channels).copy_(first[block, scale, :vertices].T)
                for tissue in range(vertices, first.shape[2]):
                    next(channels).copy_(first[block, scale, tissue])
            for shell in range(len(self.shells)):
                next(channels).copy_(self.harmonics @ shells[block, shell].T)
        return out.reshape(vertices, *mask.shape, -1)


def spread_over_grid(rows: Float[Tensor, "voxel *any"], inside: Bool[Tensor, " grid"]) -> Float[Tensor, "grid *any"]:
    """Return the rows at the voxels that are `inside`, zeros at the others."""
    out = rows.new_zeros((len(inside), *rows.shape[1:]))
    out[inside] = rows
    return out


def spherical_features(
    gradients: Gradients,
    vertices: Float[np.ndarray, "vertex 3"],
    isotropic: int = 2,
    device: torch.device | str = "cpu",
) -> SphericalFeatures:
    """Return the features of a scan with these gradients (scanner axes) and so many isotropic tissues."""
    parts = (shell_fits(gradients), even_harmonics(vertices, _SHELL_DEGREE))
    shells, harmonics = (torch.from_numpy(part.astype(np.float32)).to(device) for part in parts)
    return SphericalFeatures(shells, harmonics, tuple(range(isotropic)))
