"""How far the modelled signal is from the measured one."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["reconstruction"]


def reconstruction(
    predicted: Float[Tensor, "volume voxel"], measured: Float[Tensor, "volume voxel"]
) -> Float[Tensor, ""]:
    """Return the mean square difference over volumes and voxels, both in units of the voxel's b=0 signal."""
    return (predicted - measured).square().mean()
