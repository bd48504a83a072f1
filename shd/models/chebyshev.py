"""Chebyshev convolution on the sphere, voxel by voxel: equivariant to rotations of each voxel's signal."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hierarchy import Level
from shd.models.functional import chebyshev_convolution, chebyshev_polynomials

__all__ = ["ChebyshevConvolution", "SpectralModule"]


class SpectralModule(nn.Module):
    """What every convolution on one level of the sphere holds: its eigenbasis, and the Chebyshev polynomials there.

    Both follow from the level, so a checkpoint does not hold them.
    """

    eigenvectors: Tensor
    polynomials: Tensor

    def __init__(self, level: Level, order: int) -> None:
        super().__init__()
        eigenvalues, eigenvectors = level.spectrum
        polynomials = chebyshev_polynomials(torch.tensor(eigenvalues), order)  # copies: levels are read-only
        default = torch.get_default_dtype()
        self.register_buffer("eigenvectors", torch.tensor(eigenvectors, dtype=default), persistent=False)
        self.register_buffer("polynomials", polynomials.to(default), persistent=False)


class ChebyshevConvolution(SpectralModule):
    """y = Σ_k T_k(L) x W[k] on one level of the sphere (Defferrard et al. 2016; Elaldi et al. 2021, ESD)."""

    def __init__(self, level: Level, channels_in: int, channels_out: int, order: int = 5) -> None:
        super().__init__(level, order)
        self.weight = nn.Parameter(torch.empty(order, channels_in, channels_out))
        nn.init.normal_(self.weight, std=(2 / (order * channels_in)) ** 0.5)

    def forward(self, x: Float[Tensor, "vertex *grid channel_in"]) -> Float[Tensor, "vertex *grid channel_out"]:
        """Return the convolved signal."""
        return chebyshev_convolution(x, self.eigenvectors, self.polynomials, self.weight)
