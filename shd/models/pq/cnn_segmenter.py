"""The rival: a plain 3-D CNN that takes the q-space samples as channels and knows nothing of their geometry."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from shd.models.pq.config import SegmentationConfig
from shd.models.pq.pooling import UnweightedMean
from shd.models.pq.recomputation import recomputed

__all__ = ["CnnSegmenter", "widths_for"]


class CnnSegmenter(nn.Module):
    """As many convolutions as the equivariant network, with batch norm and ReLU between them.

    q: coordinates of the volumes; only which of them are b=0 matters. widths: channels after every layer but the last.
    recompute: as there.
    """

    def __init__(self, config: SegmentationConfig, q: Float[Tensor, "q 3"], widths: Sequence[int]) -> None:
        super().__init__()
        self.config, self.receptive_radius, self.recompute = config, config.receptive_radius, False
        self.unweighted_mean = UnweightedMean(q)
        channels, blocks = len(self.unweighted_mean.q), []
        for width in widths:
            layers: list[nn.Module] = [nn.Conv3d(channels, width, config.kernel_size, padding=config.kernel_size // 2)]
            if config.batch_norm:
                layers.append(nn.BatchNorm3d(width))
            blocks.append(nn.Sequential(*layers, nn.ReLU()))
            channels = width
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Conv3d(channels, config.classes, config.kernel_size, padding=config.kernel_size // 2)

    def forward(self, signal: Float[Tensor, "batch q x y z"]) -> Float[Tensor, "batch class x y z"]:
        """Return logits on the same grid; beyond it the signal counts as zero."""
        x = self.unweighted_mean(signal)
        for block in self.blocks:
            x = recomputed(block, x) if self.recompute and self.training else block(x)
        return self.last(x)


def widths_for(config: SegmentationConfig, samples: int, parameters: int) -> tuple[int, ...]:
    """Return the widths at which the CNN's number of parameters comes nearest to a given one; they differ by one."""
    hidden = config.layers - 1

    def count(total: int) -> int:
        widths = spread(total)
        pairs = pairwise((samples, *widths, config.classes))
        weights = config.kernel_size**3 * sum(into * out for into, out in pairs)
        return weights + (3 if config.batch_norm else 1) * total + config.classes

    def spread(total: int) -> tuple[int, ...]:
        return tuple(total // hidden + (layer >= hidden - total % hidden) for layer in range(hidden))

    total = hidden
    while abs(count(total + 1) - parameters) < abs(count(total) - parameters):
        total += 1
    return spread(total)
