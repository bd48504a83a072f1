"""Radial bases: functions of a length, as Gaussian bumps, cosine bumps, or what a small network makes of those."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.errors import SettingsError

__all__ = ["RADIAL_BASES", "CosineBasis", "GaussianBasis", "LearntBasis", "RadialBasis", "radial_basis"]

_WIDTH = 0.8  # of a Gaussian over the spacing of their centres, as published


class RadialBasis(nn.Module):
    """`count` functions of lengths from 0 to `largest`, with centres spread evenly over them.

    A single function is the constant one: where there is but one length there is nothing to tell apart.
    """

    def __init__(self, count: int, largest: float) -> None:
        super().__init__()
        if count < 1 or largest < 0.0:
            raise SettingsError(f"{count} radial functions up to {largest:g}: at least 1, and no negative length")
        self.count, self.largest = count, largest
        self.spacing = largest / (count - 1) if count > 1 and largest > 0.0 else 1.0

    def forward(self, lengths: Float[Tensor, " point"]) -> Float[Tensor, "point radial"]:
        """Return the values of every function at every length."""
        if self.count == 1:
            return torch.ones_like(lengths).unsqueeze(-1)
        centres = torch.linspace(0.0, self.largest, self.count, dtype=lengths.dtype, device=lengths.device)
        return self.bump((lengths.unsqueeze(-1) - centres) / self.spacing)

    def bump(self, distance: Tensor) -> Tensor:
        """Return the value at a distance from the centre, in spacings."""
        raise NotImplementedError


class GaussianBasis(RadialBasis):
    """exp(−(d/0.8)²), d the distance from the centre in spacings; smooth, never zero."""

    def bump(self, distance: Tensor) -> Tensor:
        """Return the value at a distance from the centre, in spacings."""
        return torch.exp(-((distance / _WIDTH) ** 2))


class CosineBasis(RadialBasis):
    """cos²(πd/2) up to d = 1, zero beyond; between the first centre and the last they add up to one."""

    def bump(self, distance: Tensor) -> Tensor:
        """Return the value at a distance from the centre, in spacings."""
        return torch.cos(0.5 * math.pi * distance.clamp(-1.0, 1.0)) ** 2


class LearntBasis(GaussianBasis):
    """A perceptron with one hidden layer over the Gaussian bumps: learnt functions, shared by all orders."""

    def __init__(self, count: int, largest: float, hidden: int = 16) -> None:
        super().__init__(count, largest)
        self.network = nn.Sequential(nn.Linear(count, hidden), nn.SiLU(), nn.Linear(hidden, count))

    def forward(self, lengths: Float[Tensor, " point"]) -> Float[Tensor, "point radial"]:
        """Return the values of every function at every length."""
        answer: Tensor = self.network(super().forward(lengths))
        return answer


RADIAL_BASES = {"gaussian": GaussianBasis, "cosine": CosineBasis, "learnt": LearntBasis}


def radial_basis(name: str, count: int, largest: float) -> RadialBasis:
    """Return the basis of that name; raises `SettingsError` where there is none."""
    if name not in RADIAL_BASES:
        raise SettingsError(f"radial basis {name!r}: use one of {', '.join(RADIAL_BASES)}")
    return (RADIAL_BASES[name] if count > 1 else RadialBasis)(count, largest)
