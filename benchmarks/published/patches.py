"""Inference as published: the network sees a 3×3×3 patch around each voxel, and the answer at its centre is kept."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["deploy_patches"]

_SIDE = 3


@torch.no_grad()
def deploy_patches(
    network: Callable[[Tensor], Tensor],
    volume: Float[Tensor, "vertex channel x y z"],
    voxels: Int[Tensor, "voxel 3"],
    *,
    batch: int,
    factor: int,
) -> Float[Tensor, "voxel vertex channel_out"]:
    """Return the network's answer at each of `voxels`, from its own patch; zeros beyond the volume.

    network: takes (patch, vertex, channel, x, y, z). batch: patches at a time. factor: by how much the network pools
    voxels. A patch's sides must be multiples of it, so 3 voxels are padded with zeros to 4 where it is 2.
    """
    side = -(-_SIDE // factor) * factor
    padded = torch.nn.functional.pad(volume, (1,) * 6)
    answers = []
    for chunk in voxels.split(batch):
        patches = torch.zeros(len(chunk), *volume.shape[:2], side, side, side, dtype=volume.dtype)
        for patch, (x, y, z) in zip(patches, chunk.tolist(), strict=True):
            patch[..., :_SIDE, :_SIDE, :_SIDE] = padded[..., x : x + _SIDE, y : y + _SIDE, z : z + _SIDE]
        answers.append(network(patches)[..., 1, 1, 1])
    return torch.cat(answers)
