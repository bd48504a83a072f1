"""The convolutions as functions, computed by whichever engine is quickest.

Tensors are (vertex, …, channel); spatial ones (vertex, batch, x, y, z, channel).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from shd.engines.choice import choose_engine
from shd.graphs.hierarchy import Level

__all__ = ["chebyshev_convolution", "spatio_spherical_convolution"]


def chebyshev_convolution(
    x: Float[Tensor, "vertex *grid channel_in"],
    level: Level,
    weight: Float[Tensor, "order channel_in channel_out"],
    engine: str = "auto",
) -> Float[Tensor, "vertex *grid channel_out"]:
    """Return Σ_k T_k(L) x W[k]: a filter of every voxel's signal alone (Defferrard et al. 2016, eq. 4)."""
    flat = x.reshape(x.shape[0], 1, 1, 1, -1, x.shape[-1])
    y = spatio_spherical_convolution(flat, level, weight.unsqueeze(1), engine)
    return y.reshape(*x.shape[:-1], weight.shape[-1])


def spatio_spherical_convolution(
    x: Float[Tensor, "vertex batch x y z channel_in"],
    level: Level,
    weight: Float[Tensor, "order radius channel_in channel_out"],
    engine: str = "auto",
) -> Float[Tensor, "vertex batch x y z channel_out"]:
    """Return Σ_{k,r} T_k(L) S_r x W[k, r] (Elaldi et al. 2024, eq. 5) for a kernel that is isotropic in space.

    The number of radii says how many voxels a side it has: 1, 4 and 10 for 1, 3 and 5. engine: one of
    `shd.engines.ENGINES`.
    """
    chosen = choose_engine(engine, x, weight.shape[1])
    mask = torch.ones((*x.shape[1:5], 1), device=x.device)
    z, _ = chosen.mix([chosen.enter(x, level)], level, weight, mask, None)
    return chosen.leave(z, level)
