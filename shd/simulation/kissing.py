"""Two bundles that come close, touch and part again: they look like a crossing to whoever sees single voxels only."""

import numpy as np

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.sphere.rotations import random_rotation

__all__ = ["kissing_geometry"]

EXTENT = 48.0  # mm
_RADIUS = 5.0  # of both bundles, mm


def kissing_geometry(angle_degrees: float = 60.0, *, seed: int = 0) -> Geometry:
    """Return two bent bundles that touch side by side at the centre and part to both sides.

    angle_degrees: between the limbs of the two where they leave the volume, above 0 to 120; two straight bundles at
    this angle would cross instead. seed: of the orientation. Raises SimulationError for an angle out of range.
    """
    if not 0 < angle_degrees <= 120:
        raise SimulationError(f"angle_degrees {angle_degrees:g}: limbs part by more than 0 and at most 120 degrees")
    frame = random_rotation(np.random.default_rng([seed, 4]))
    half = np.radians(angle_degrees) / 2
    bend = 0.35 * EXTENT / np.sin(half) if half > 0.02 else 17.5 * EXTENT  # arcs that reach 0.35 of the volume's edge
    arc = np.linspace(-half, half, 9)
    leg = 0.6 * EXTENT
    x = np.concatenate([[-bend * np.sin(half) - leg * np.cos(half)], bend * np.sin(arc)])
    y = np.concatenate([[bend * (1 - np.cos(half)) + leg * np.sin(half)], bend * (1 - np.cos(arc))])
    x, y = np.append(x, -x[0]), np.append(y, y[0]) + _RADIUS
    bundles = tuple(
        Bundle(
            name, np.stack([x, sign * y, np.zeros_like(x)], axis=1) @ frame.T, np.full(len(x), _RADIUS), ends="chord"
        )
        for name, sign in (("upper", 1.0), ("lower", -1.0))
    )
    drop = Region.ball("CSF", 0.3 * EXTENT * frame[:, 2], 0.2 * EXTENT)
    return Geometry(f"kissing {angle_degrees:g}°", bundles, np.full(3, EXTENT), (drop,))
