"""Nonlinearities that turn with their fields."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from shd.models.pq.fields import FieldType

__all__ = ["Gate"]


class Gate(nn.Module):
    """SiLU of the scalars; tensors of higher order times the sigmoid of a scalar of their own (Weiler et al. 2018).

    `type_in` is what the layer before must give: the channels of `type_out` and one more scalar a higher channel, which
    stand after the other scalars.
    """

    def __init__(self, channels: FieldType) -> None:
        super().__init__()
        self.type_out = channels
        self.type_in = FieldType((channels.scalars + channels.tensors, *channels.channels[1:]))
        self._components = channels.component_counts()[channels.scalars :]

    def forward(self, x: Float[Tensor, "*batch in x y z"]) -> Float[Tensor, "*batch out x y z"]:
        """Return the gated field; the components stand on the fourth axis from the end."""
        scalars, gates = self.type_out.scalars, self.type_out.tensors
        plain = functional.silu(x[..., :scalars, :, :, :])
        if gates == 0:
            return plain
        opened = torch.sigmoid(x[..., scalars : scalars + gates, :, :, :])
        counts = torch.tensor(self._components, device=x.device)
        opened = opened.repeat_interleave(counts, dim=-4, output_size=sum(self._components))
        return torch.cat([plain, x[..., scalars + gates :, :, :, :] * opened], dim=-4)
