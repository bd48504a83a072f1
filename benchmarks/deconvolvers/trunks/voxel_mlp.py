"""A multi-layer perceptron for each voxel alone, which must learn from the data what a rotation is."""

from jaxtyping import Float
from torch import Tensor, nn

from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig
from shd.models.unet import Window, cut

__all__ = ["VoxelMLP"]

_HIDDEN = 256


class VoxelMLP(nn.Module):
    """All channels of all vertices → 256 → 256 → `config.width` channels on the vertices, ReLU between."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.output_channels, self.engine, self.recompute = config.width, "auto", False
        self.vertices = vertex_count(config.nside, config.hemisphere)
        self.layers = nn.Sequential(
            nn.Linear(self.vertices * config.input_channels, _HIDDEN), nn.LayerNorm(_HIDDEN), nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN), nn.LayerNorm(_HIDDEN), nn.ReLU(),
            nn.Linear(_HIDDEN, self.vertices * config.width), nn.ReLU(),
        )  # fmt: skip

    def forward(
        self,
        x: Float[Tensor, "vertex batch x y z channel_in"],
        mask: Float[Tensor, "batch x y z 1"],
        window: Window | None = None,
    ) -> Float[Tensor, "vertex batch x2 y2 z2 channel_out"]:
        """Return the features, zero outside the mask, of the window's voxels where one is given."""
        if window is not None:
            x, mask = cut(x, window), cut(mask, window)
        inside = mask[..., 0] > 0
        rows = x[:, inside].movedim(0, 1).flatten(1)
        answers = self.layers(rows).unflatten(1, (self.vertices, self.output_channels)).movedim(0, 1)
        out = x.new_zeros((self.vertices, *inside.shape, self.output_channels), dtype=answers.dtype)
        out[:, inside] = answers
        return out
