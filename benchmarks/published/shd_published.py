"""The spatio-hemispherical convolution as its paper computes it (Elaldi, Gerig and Dey, NeurIPS 2024, section 3).

All Chebyshev polynomials of the hemisphere's Laplacian are one dense matrix, made beforehand and applied to the signal;
torch's conv3d then mixes the order·channel maps of each vertex with a 3×3×3 kernel whose taps share a weight where
their distance from the centre is the same.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hierarchy import Level
from shd.graphs.spatial import distance_classes, expanded_class_map

__all__ = ["IsotropicKernel", "PublishedConvolution", "dense_polynomials"]


def dense_polynomials(level: Level, order: int) -> Float[np.ndarray, "rows vertex"]:
    """Return T_0(L) … T_{K−1}(L) as one (V·K, V) matrix, row v·K + k: then each vertex's maps lie side by side."""
    laplacian = level.laplacian.toarray()
    terms = [np.eye(level.vertices), laplacian]
    for _ in range(2, order):
        terms.append(2 * laplacian @ terms[-1] - terms[-2])
    return np.stack(terms[:order], axis=1).reshape(level.vertices * order, level.vertices)


class IsotropicKernel(nn.Module):
    """Weights W[k, r] and conv3d with the dense kernel they expand to; vertices are part of conv3d's batch."""

    classes: Tensor

    def __init__(self, channels_in: int, channels_out: int, order: int, size: int) -> None:
        super().__init__()
        radii = len(distance_classes(size))
        self.weight = nn.Parameter(torch.empty(order, radii, channels_in, channels_out))
        nn.init.normal_(self.weight, std=(2 / (order * size**3 * channels_in)) ** 0.5)
        self.register_buffer("classes", torch.from_numpy(expanded_class_map(size)), persistent=False)

    def spatial(
        self, volumes: Float[Tensor, "volume order_channel x y z"]
    ) -> Float[Tensor, "volume channel_out x y z"]:
        """Return conv3d of the maps, channel k·C + c being T_k's of channel c; zeros beyond the volume."""
        kernel = self.weight[:, self.classes].permute(5, 0, 4, 1, 2, 3).flatten(1, 2)
        return nn.functional.conv3d(volumes, kernel, padding=len(self.classes) // 2)


class PublishedConvolution(IsotropicKernel):
    """y = Σ_{k,r} T_k(L) S_r x W[k, r] by a dense matrix product and conv3d."""

    polynomials: Tensor

    def __init__(self, level: Level, channels_in: int, channels_out: int, order: int = 5, size: int = 3) -> None:
        super().__init__(channels_in, channels_out, order, size)
        matrix = torch.tensor(dense_polynomials(level, order), dtype=torch.get_default_dtype())
        self.register_buffer("polynomials", matrix, persistent=False)

    def forward(
        self, x: Float[Tensor, "batch vertex channel_in x y z"]
    ) -> Float[Tensor, "batch vertex channel_out x y z"]:
        """Return the convolved field."""
        batch, vertices, _, *grid = x.shape
        terms = self.polynomials @ x.reshape(batch, vertices, -1)
        y = self.spatial(terms.reshape(batch * vertices, -1, *grid))
        return y.reshape(batch, vertices, -1, *grid)
