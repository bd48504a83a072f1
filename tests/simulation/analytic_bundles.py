"""Bundles and balls of which membership and tangent are known exactly: the oracle of the sampled curves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["ArcBundle", "Ball", "ConeBundle", "StraightBundle"]


@dataclass(frozen=True, eq=False)
class StraightBundle:
    """A cylinder of parallel fibres.

    centre: a point on its axis, mm. direction: unit vector, scanner axes. radius: mm; infinite fills all space.
    """

    centre: Float[np.ndarray, "3"]
    direction: Float[np.ndarray, "3"]
    radius: float

    def contains(self, points: Float[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Return which points lie inside."""
        return np.linalg.norm(np.cross(points - self.centre, self.direction), axis=-1) <= self.radius

    def tangents(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Return the unit vector of the fibre through each point."""
        return np.broadcast_to(self.direction, points.shape)


@dataclass(frozen=True, eq=False)
class ArcBundle:
    """A tube around a circular arc; its fibres are concentric arcs.

    centre: a point on its axis, mm. direction: unit vector of the axis there. bend: unit vector at right angles to it,
    towards the centre of the circle. bend_radius: of the circle, mm. radius: of the tube, mm.
    """

    centre: Float[np.ndarray, "3"]
    direction: Float[np.ndarray, "3"]
    bend: Float[np.ndarray, "3"]
    bend_radius: float
    radius: float

    def _offsets(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        return points - (self.centre + self.bend_radius * self.bend)

    def contains(self, points: Float[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Return which points lie inside."""
        offsets = self._offsets(points)
        in_plane = np.hypot(offsets @ self.direction, offsets @ self.bend)
        across = offsets @ np.cross(self.direction, self.bend)
        return np.hypot(in_plane - self.bend_radius, across) <= self.radius

    def tangents(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Return the unit vector of the fibre through each point."""
        offsets = self._offsets(points)
        angle = np.arctan2(offsets @ self.direction, -(offsets @ self.bend))[:, None]
        return np.cos(angle) * self.direction + np.sin(angle) * self.bend


@dataclass(frozen=True, eq=False)
class Ball:
    """A ball of a tissue without direction. centre, radius: mm."""

    centre: Float[np.ndarray, "3"]
    radius: float

    def contains(self, points: Float[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Return which points lie inside."""
        return np.linalg.norm(points - self.centre, axis=-1) <= self.radius


@dataclass(frozen=True, eq=False)
class ConeBundle:
    """Fibres that fan out of an apex: a straight tube whose radius is proportional to the distance from the apex.

    apex: mm. direction: unit vector of the axis. slope: radius over distance along the axis.
    """

    apex: Float[np.ndarray, "3"]
    direction: Float[np.ndarray, "3"]
    slope: float

    def contains(self, points: Float[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Return which points lie inside."""
        along = (points - self.apex) @ self.direction
        across = np.linalg.norm(np.cross(points - self.apex, self.direction), axis=-1)
        return across <= self.slope * along

    def tangents(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
        """Return the unit vector of the fibre through each point: away from the apex."""
        offsets = points - self.apex
        return offsets / np.linalg.norm(offsets, axis=-1, keepdims=True)
