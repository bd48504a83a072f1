"""A network for voxel-wise prediction, from its configuration and the scan's q-space coordinates."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from shd.models.pq.cnn_segmenter import CnnSegmenter, widths_for
from shd.models.pq.config import SegmentationConfig
from shd.models.pq.equivariant_segmenter import EquivariantSegmenter

__all__ = ["build_segmenter", "parameter_count"]


def build_segmenter(config: SegmentationConfig, q: Float[Tensor, "q 3"]) -> nn.Module:
    """Return the network: (batch, q, x, y, z) to logits (batch, class, x, y, z) on the same grid.

    q: coordinates of the volumes in voxel axes (`q_coordinates`). The network has `config`, `receptive_radius` (voxels
    that a tile needs around it) and `recompute` (set it to train in less memory). A CNN is as wide as makes its number
    of parameters nearest to that of the equivariant network of the same configuration.
    """
    rival = EquivariantSegmenter(replace(config, kind="equivariant"), q)
    if config.kind == "equivariant":
        return rival
    widths = widths_for(config, len(rival.unweighted_mean.q), parameter_count(rival))
    return CnnSegmenter(config, q, widths)


def parameter_count(network: nn.Module) -> int:
    """Return how many numbers are learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
