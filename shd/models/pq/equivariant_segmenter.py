"""Voxel-wise prediction by layers that turn with p- and q-space together."""

from jaxtyping import Float
from torch import Tensor, nn

from shd.models.pq.config import SegmentationConfig
from shd.models.pq.convolution import PQConvolution
from shd.models.pq.fields import FieldType
from shd.models.pq.gate import Gate
from shd.models.pq.normalisation import FieldBatchNorm
from shd.models.pq.pooling import QLengthPool, QMean, UnweightedMean
from shd.models.pq.recomputation import recomputed

__all__ = ["EquivariantSegmenter"]


class EquivariantSegmenter(nn.Module):
    """Layers over p-q-space, reduction of q-space, layers over p-space, a logit a class (Müller et al. 2021).

    Answers move with the image when it is turned or shifted together with its q-vectors. q: coordinates of the volumes
    in voxel axes (`q_coordinates`). recompute: keep less for the backward pass, see `recomputed`.
    """

    def __init__(self, config: SegmentationConfig, q: Float[Tensor, "q 3"]) -> None:
        super().__init__()
        self.config, self.receptive_radius, self.recompute = config, config.receptive_radius, False
        self.unweighted_mean = UnweightedMean(q)
        q_now, channels, blocks = self.unweighted_mean.q, FieldType((1,)), []
        for wanted in map(FieldType.of, config.pq_channels):
            blocks.append(_block(config, channels, wanted, q_now, q_now))
            channels = wanted
        if config.q_reduction == "convolution":
            blocks.append(_block(config, channels, channels, q_now, q_now[:1] * 0.0))
        else:
            reduction = {"length": QLengthPool, "mean": QMean}[config.q_reduction]
            blocks.append(reduction(channels, q_now))
        for wanted in map(FieldType.of, config.p_channels):
            blocks.append(_block(config, channels, wanted, None, None))
            channels = wanted
        self.blocks = nn.ModuleList(blocks)
        self.last = _convolution(config, channels, FieldType((config.classes,)), None, None)

    def forward(self, signal: Float[Tensor, "batch q x y z"]) -> Float[Tensor, "batch class x y z"]:
        """Return logits on the same grid; beyond it the signal counts as zero."""
        x = self.unweighted_mean(signal).unsqueeze(2)
        for block in self.blocks:
            x = recomputed(block, x) if self.recompute and self.training else block(x)
        return self.last(x).squeeze(1)


def _block(
    config: SegmentationConfig,
    channels_in: FieldType,
    channels_out: FieldType,
    q_in: Tensor | None,
    q_out: Tensor | None,
) -> nn.Sequential:
    """Return convolution, batch norm and gate; the convolution gives the gates' scalars too."""
    gate = Gate(channels_out)
    layers: list[nn.Module] = [_convolution(config, channels_in, gate.type_in, q_in, q_out)]
    if config.batch_norm:
        layers.append(FieldBatchNorm(gate.type_in))
    return nn.Sequential(*layers, gate)


def _convolution(
    config: SegmentationConfig,
    channels_in: FieldType,
    channels_out: FieldType,
    q_in: Tensor | None,
    q_out: Tensor | None,
) -> PQConvolution:
    return PQConvolution(
        channels_in, channels_out, config.kernel_size, q_in, q_out,
        angular=None if q_in is None else config.angular, radial=config.radial, reflections=config.reflections,
    )  # fmt: skip
