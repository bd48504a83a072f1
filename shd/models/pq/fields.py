"""What a feature map holds at each point of p-q-space: channels of spherical tensors, so many of each order."""

from collections.abc import Sequence
from dataclasses import dataclass

from shd.errors import SettingsError

__all__ = ["HIGHEST_ORDER", "FieldType"]

HIGHEST_ORDER = 5
"""Filters between fields of this order have harmonics of order 2·5 + 1, the highest that e3nn couples."""


@dataclass(frozen=True)
class FieldType:
    """Channels for each order: (7, 4) is seven scalars and four vectors, 7 + 4·3 = 19 numbers a point.

    The numbers stand by order, in it by channel, in it by component: all scalars first, then (x, y, z) of the first
    vector. Components of order l are those of `e3nn.o3.spherical_harmonics`: see docs/pq.md. Raises `SettingsError`
    where there is no channel, or an order above `HIGHEST_ORDER`.
    """

    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        if sum(self.channels) < 1 or min(self.channels) < 0:
            raise SettingsError(f"channels {self.channels}: give how many there are of each order, at least one in all")
        if self.highest_order > HIGHEST_ORDER:
            raise SettingsError(f"channels of order {self.highest_order}: orders go from 0 to {HIGHEST_ORDER}")

    @classmethod
    def of(cls, channels: "FieldType | Sequence[int]") -> "FieldType":
        """Return the type of these channels; a type is returned as it is."""
        return channels if isinstance(channels, FieldType) else cls(tuple(channels))

    @property
    def orders(self) -> tuple[int, ...]:
        """The orders that have a channel, ascending."""
        return tuple(order for order, count in enumerate(self.channels) if count)

    @property
    def highest_order(self) -> int:
        """The highest order that has a channel."""
        return max(self.orders)

    @property
    def scalars(self) -> int:
        """Channels of order 0."""
        return self.channels[0]

    @property
    def tensors(self) -> int:
        """Channels of orders above 0."""
        return sum(self.channels[1:])

    @property
    def dimension(self) -> int:
        """Numbers a point."""
        return sum(count * (2 * order + 1) for order, count in enumerate(self.channels))

    def count(self, order: int) -> int:
        """Return the channels of an order; 0 for one that is not listed."""
        return self.channels[order] if order < len(self.channels) else 0

    def block(self, order: int) -> slice:
        """Return where the numbers of an order stand."""
        start = sum(count * (2 * lower + 1) for lower, count in enumerate(self.channels[:order]))
        return slice(start, start + self.count(order) * (2 * order + 1))

    def component_counts(self) -> list[int]:
        """Return the components of each channel, in their order: 2l + 1."""
        return [2 * order + 1 for order, count in enumerate(self.channels) for _ in range(count)]

    def __str__(self) -> str:
        return "+".join(f"{count}×l{order}" for order, count in enumerate(self.channels) if count)
