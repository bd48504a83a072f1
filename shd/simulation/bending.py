"""A bundle that turns a corner: on the inner side of the bend its fibres turn within a voxel or two."""

import numpy as np

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.sphere.rotations import random_rotation

__all__ = ["bending_geometry"]

EXTENT = 48.0  # mm
_RADIUS, _BEND = 5.0, 9.0  # of the bundle and of the circle its middle follows, mm


def bending_geometry(angle_degrees: float = 90.0, *, seed: int = 0) -> Geometry:
    """Return a bundle that runs straight, turns on a circle of 9 mm, and runs straight again.

    angle_degrees: by how much it turns, above 0 to 180; from about 160 on it comes back beside itself. The innermost
    fibres turn on a circle of 4 mm. seed: of the orientation. Raises SimulationError for an angle out of range.
    """
    if not 0 < angle_degrees <= 180:
        raise SimulationError(f"angle_degrees {angle_degrees:g}: a bundle bends by more than 0 and at most 180 degrees")
    frame = random_rotation(np.random.default_rng([seed, 5]))
    half = np.radians(angle_degrees) / 2
    arc = np.linspace(-half, half, max(5, 2 * round(angle_degrees / 15) + 1))
    circle = _BEND * np.stack([np.sin(arc), 1 - np.cos(arc)], axis=1)
    steps = np.linspace(1.0, 0.1, 4)[:, None] * EXTENT
    out = circle[-1] + steps * np.array([np.cos(half), np.sin(half)])
    first = out * np.array([-1.0, 1.0])
    points = np.concatenate([first, circle, out[::-1]])
    points[:, 1] -= circle[-1, 1] / 2
    placed = points @ frame[:, :2].T
    bundle = Bundle("bend", placed, np.full(len(placed), _RADIUS), ends="chord")
    drop = Region.ball("CSF", -0.35 * EXTENT * frame[:, 1], 0.2 * EXTENT)
    return Geometry(f"bending {angle_degrees:g}°", (bundle,), np.full(3, EXTENT), (drop,))
