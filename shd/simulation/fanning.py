"""A bundle that spreads like a fan: inside one voxel its fibres point many ways."""

import numpy as np

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.sphere.rotations import random_rotation

__all__ = ["fanning_geometry"]

EXTENT = 48.0  # mm
_STEM, _BAR = 4.0, 5.0  # radii of the bundle before it spreads and of the one across it, mm


def fanning_geometry(angle_degrees: float = 60.0, *, seed: int = 0) -> Geometry:
    """Return a bundle that runs straight to the centre and then spreads to a cone, with a straight one across the cone.

    angle_degrees: the cone's opening, from its one side to the other, above 0 to below 120. seed: of the orientation.
    The fibre at a share ρ of the bundle's radius leaves its axis at nearly ρ times half the angle. Raises
    SimulationError for an angle out of range.
    """
    if not 0 < angle_degrees < 120:
        raise SimulationError(f"angle_degrees {angle_degrees:g}: a fan opens by more than 0 and less than 120 degrees")
    frame = random_rotation(np.random.default_rng([seed, 3]))
    along = np.array([-0.9, -0.45, -0.1, 0.0, 0.25, 0.5, 0.95]) * EXTENT
    widening = np.tan(np.radians(angle_degrees) / 2)
    radii = _STEM + widening * np.maximum(along, 0.0)
    fan = Bundle("fan", along[:, None] * frame[:, 0], radii, ends="chord")
    middle = 0.3 * EXTENT * frame[:, 0]
    bar = Bundle("bar", middle + np.array([[-1.0], [1.0]]) * EXTENT * frame[:, 1], np.full(2, _BAR), ends="chord")
    drop = Region.ball("CSF", -0.3 * EXTENT * (frame[:, 1] + frame[:, 0]), 0.15 * EXTENT)
    return Geometry(f"fanning {angle_degrees:g}°", (fan, bar), np.full(3, EXTENT), (drop,))
