"""Negative lobes of the band-limited fODF."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu

__all__ = ["negativity"]


def negativity(amplitudes: Float[Tensor, "vertex voxel"]) -> Float[Tensor, ""]:
    """Return the mean square of the negative amplitudes of fODFs sampled on the sphere (per steradian).

    The network's own output is positive; its truncated harmonic expansion, which is what users get, need not be.
    """
    return relu(-amplitudes).square().mean()  # relu: the gradient of clamp takes ten times as long
