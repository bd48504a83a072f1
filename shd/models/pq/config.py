"""The shape of a network for voxel-wise prediction: everything needed to build it again, as plain numbers and words."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from shd.errors import SettingsError

__all__ = ["KINDS", "Q_REDUCTIONS", "SegmentationConfig"]

KINDS = ("equivariant", "cnn")
Q_REDUCTIONS = ("length", "mean", "convolution")


@dataclass(frozen=True)
class SegmentationConfig:
    """Configuration of a segmentation network; `asdict`, JSON and back gives an equal one.

    kind: "equivariant", or "cnn", the plain 3-D CNN of as many layers and about as many parameters as the equivariant
    network of the same other fields. classes: logits a voxel; `shd segment` has one for each label, the background
    among them, and takes their softmax. pq_channels: channels of each order after every p-q-space layer, (7, 4) for
    seven scalars and four vectors. p_channels: after every layer without q-space; a last one, to the classes, follows.
    kernel_size: voxels a side, odd.
    angular, radial: bases of the filters, of `ANGULAR_BASES` and `RADIAL_BASES`. q_reduction: between the two, "length"
    (`QLengthPool`), "mean", or "convolution" (a layer whose output has no q-space). reflections: commute with
    reflections as well. batch_norm: after every layer but the last. Raises `SettingsError` where one cannot be.
    """

    kind: str = "equivariant"
    classes: int = 2
    pq_channels: Sequence[Sequence[int]] = ((7, 4), (10, 5))
    p_channels: Sequence[Sequence[int]] = ((10, 5), (10, 5))
    kernel_size: int = 3
    angular: Sequence[str] = ("tp", "same_q")
    radial: str = "gaussian"
    q_reduction: str = "length"
    reflections: bool = False
    batch_norm: bool = True

    def __post_init__(self) -> None:
        """Turn lists, which JSON makes of tuples, into tuples, and check what would otherwise fail deep inside."""
        for field in fields(self):
            object.__setattr__(self, field.name, _tuples(getattr(self, field.name)))
        for name, allowed in (("kind", KINDS), ("q_reduction", Q_REDUCTIONS)):
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} {getattr(self, name)!r}: use one of {', '.join(allowed)}")
        if self.classes < 1 or not self.pq_channels:
            raise SettingsError(
                f"{self.classes} classes, {len(self.pq_channels)} p-q-space layers: at least 1 of each is needed"
            )
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise SettingsError(f"kernel of {self.kernel_size} voxels a side: it must be odd, so as to have a centre")

    @property
    def layers(self) -> int:
        """Convolutions with a kernel of more than one voxel, the last one included."""
        return len(self.pq_channels) + len(self.p_channels) + 1

    @property
    def receptive_radius(self) -> int:
        """By how many voxels away from it an input voxel can change an answer, along an axis."""
        convolutions = self.layers + (self.kind == "equivariant" and self.q_reduction == "convolution")
        return convolutions * (self.kernel_size // 2)


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
