"""Spherical features of a voxel, on the vertices of the hemisphere: a first estimate of its tissues, and its signal.

The published network takes the signal of each shell alone. The first estimate beside it is what the network refines, so
training begins where voxel-wise deconvolution ends.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shd.scans.first_estimate import SCALES
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.sphere.harmonics import (
    even_harmonics,
    harmonic_fit_matrix,
    highest_degree_for,
)

__all__ = ["SphericalFeatures", "feature_count", "shell_interpolation", "spherical_features"]

_SMOOTHNESS = 0.006
"""Laplace-Beltrami weight of the shell fits: the value of Descoteaux et al. 2007."""

_SHELL_DEGREE = 8


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


def feature_count(responses: tuple[Response, ...], gradients: Gradients) -> int:
    """Return how many channels `SphericalFeatures` makes: one a tissue and scale of the first estimate, one a shell."""
    return SCALES * len(responses) + len(gradients.weighted_shells)


@dataclass(frozen=True, eq=False)
class SphericalFeatures:
    """Places what is known of each voxel on the vertices; the same for all voxels of a scan.

    shells: matrices from S/S₀ to each shell's signal at the vertices.
    """

    shells: Float[Tensor, "shell vertex volume"]

    def __call__(
        self,
        signal: Float[Tensor, "voxel volume"],
        estimates: Float[Tensor, "voxel scale unknown"],
        mask: Float[Tensor, "batch x y z"],
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return features of the masked voxels (in C order of `mask`) on their grid, zero elsewhere.

        Channels: for each scale of the first estimate white matter, then each isotropic tissue (constant over
        vertices); then each shell's signal.
        """
        shells, vertices, volumes = self.shells.shape
        values = (self.shells.reshape(-1, volumes) @ signal.T).reshape(shells, vertices, -1)
        wm = estimates[..., :vertices].permute(1, 2, 0)[:, None]
        isotropic = estimates[..., vertices:].permute(1, 2, 0)[:, :, None].expand(-1, -1, vertices, -1)
        channels = torch.cat([torch.cat([wm, isotropic], dim=1).flatten(0, 1), values])
        out = channels.new_zeros((vertices, mask.numel(), len(channels)))
        out[:, mask.flatten() > 0] = channels.permute(1, 2, 0)
        return out.reshape(vertices, *mask.shape, len(channels))


def spherical_features(
    gradients: Gradients, vertices: Float[np.ndarray, "vertex 3"], device: torch.device | str = "cpu"
) -> SphericalFeatures:
    """Return the features of a scan with these gradients (scanner axes)."""
    return SphericalFeatures(torch.from_numpy(shell_interpolation(gradients, vertices).astype(np.float32)).to(device))
