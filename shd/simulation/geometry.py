"""Where simulated tissue lies: bundles of fibres and spheres, in scanner millimetres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["ArcBundle", "Ball", "Bundle", "StraightBundle"]


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


Bundle = StraightBundle | ArcBundle


@dataclass(frozen=True, eq=False)
class Ball:
    """A ball of a tissue without direction. centre, radius: mm."""

    centre: Float[np.ndarray, "3"]
    radius: float

    def contains(self, points: Float[np.ndarray, "point 3"]) -> Bool[np.ndarray, " point"]:
        """Return which points lie inside."""
        return np.linalg.norm(points - self.centre, axis=-1) <= self.radius
