"""A convolution over positions and orientations as in PONITA (Bekkers et al., ICLR 2024), separable.

Features live on pairs (p, o) of a voxel and an orientation. Three steps: a depthwise kernel over the voxels near p that
depends on what rotations leave alone, the offset's component along o and its distance from o's axis; a depthwise
kernel over orientations that depends on o·o'; a linear map of the channels. Orientations here are axes, so that both
|offset·o| and |o·o'| count. The kernels are small networks of the invariants. A ConvNeXt block adds a normalisation and
two wider linear maps a voxel and orientation; they are left out, which is in PONITA's favour.

Tensors are (batch, channel, vertex, x, y, z): all three steps then run without moving memory.
"""

import itertools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["PonitaConvolution"]


class KernelNetwork(nn.Module):
    """Value of a depthwise kernel for each tuple of invariants, each distinct tuple computed once."""

    invariants: Tensor
    places: Tensor

    def __init__(self, invariants: Float[np.ndarray, "*place invariant"], channels: int, hidden: int) -> None:
        super().__init__()
        flat = invariants.reshape(-1, invariants.shape[-1])
        # rounded, so that one value computed in two ways is one
        distinct, places = np.unique(np.round(flat, 9), axis=0, return_inverse=True)
        self.register_buffer("invariants", torch.tensor(distinct, dtype=torch.get_default_dtype()), persistent=False)
        places = torch.from_numpy(places.reshape(invariants.shape[:-1]))
        self.register_buffer("places", places, persistent=False)
        self.network = nn.Sequential(
            nn.Linear(invariants.shape[-1], hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, channels, bias=False),
        )  # fmt: skip

    def forward(self) -> Float[Tensor, "channel *place"]:
        """Return the kernel."""
        return self.network(self.invariants).T[:, self.places]


def _offset_invariants(axes: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3 3 3 2"]:
    """Return |Δ·o| and ‖Δ − (Δ·o)o‖ for each orientation o and each offset Δ of a 3×3×3 neighbourhood."""
    offsets = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
    along = np.abs(axes @ offsets.T)
    across = np.sqrt(np.clip((offsets**2).sum(1) - along**2, 0, None))
    return np.stack([along, across], axis=-1).reshape(len(axes), 3, 3, 3, 2)


class PonitaConvolution(nn.Module):
    """Depthwise over voxels, depthwise over orientations, pointwise over channels.

    axes: unit vectors in the frame of the voxel grid. hidden: width of the networks that make the kernels.
    """

    def __init__(
        self, axes: Float[np.ndarray, "vertex 3"], channels_in: int, channels_out: int, hidden: int = 64
    ) -> None:
        super().__init__()
        cosines = np.abs(axes @ axes.T)
        self.spatial = KernelNetwork(_offset_invariants(axes), channels_in, hidden)
        self.orientational = KernelNetwork(cosines[..., None], channels_in, hidden)
        self.mix = nn.Linear(channels_in, channels_out)
        nn.init.zeros_(self.mix.bias)

    def forward(
        self, x: Float[Tensor, "batch channel_in vertex x y z"]
    ) -> Float[Tensor, "batch channel_out vertex x y z"]:
        """Return the convolved field; zeros beyond the volume."""
        batch, channels, vertices, *grid = x.shape
        kernel = self.spatial().reshape(channels * vertices, 1, 3, 3, 3)
        near = nn.functional.conv3d(x.flatten(1, 2), kernel, padding=1, groups=channels * vertices)
        turned = self.orientational() / vertices @ near.reshape(batch, channels, vertices, -1)
        mixed = self.mix.weight @ turned.reshape(batch, channels, -1) + self.mix.bias[:, None]
        return mixed.reshape(batch, -1, vertices, *grid)
