"""What every engine can do."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from shd.engines.statistics import Statistics
from shd.graphs.hierarchy import Level

__all__ = ["Engine"]


@runtime_checkable
class Engine(Protocol):
    """A way to convolve: fields enter the engine's representation, are mixed there, and leave it.

    What a representation is, is the engine's own business: values on the vertices, or in the Laplacian's eigenbasis.
    It has one row for each vertex, and the field's grid and channels. All methods are differentiable once.
    """

    name: str

    def enter(self, x: Float[Tensor, "vertex batch x y z channel"], level: Level) -> Tensor:
        """Return the representation of a field."""

    def lift(self, z: Tensor, coarse: Level, fine: Level) -> Tensor:
        """Return the representation on `fine` of a field on `coarse`, every vertex's value copied to four children."""

    def pool(self, z: Tensor, weight: Float[Tensor, "batch x2 y2 z2"], fine: Level, coarse: Level) -> Tensor:
        """Return the representation on `coarse` of a field on `fine`: means over four children, times `weight`.

        Where the weight's grid has half the field's side, over the sum of 2×2×2 voxels.
        """

    def mix(
        self,
        sources: Sequence[Tensor],
        level: Level,
        weight: Float[Tensor, "order radius channel_in channel_out"],
        mask: Float[Tensor, "batch x y z 1"],
        statistics: str | None,
    ) -> tuple[Tensor, Statistics | None]:
        """Return Σ_{k,r} T_k(L) S_r x W[k, r] of the sources' channels one after the other, and its statistics.

        The mask gives the grid; a source on half that grid (each side) has its voxels copied to 2×2×2.
        statistics: None, "voxel" or "channel", whatever a normalisation needs; "channel" includes "voxel".
        """

    def turn(
        self,
        z: Tensor,
        level: Level,
        scale: Float[Tensor, "batch x y z channel"],
        shift: Float[Tensor, "batch x y z channel"],
    ) -> Tensor:
        """Return the representation of the activations max(scale·field + shift, 0).

        Where no gradients are recorded, `z` is used up.
        """

    def leave(
        self,
        z: Tensor,
        level: Level,
        scale: Float[Tensor, "batch x y z channel"] | None = None,
        shift: Float[Tensor, "batch x y z channel"] | None = None,
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return the field; with scale and shift the activations max(scale·field + shift, 0)."""
