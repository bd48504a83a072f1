"""Two phantoms with one question each: do two crossing bundles come apart, and does one bundle point the right way?"""

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.simulation.phantoms import Measurement, Phantom, simulate
from shd.simulation.protocols import RESEARCH, Protocol, protocol_gradients
from shd.sphere.directions import normalised
from shd.sphere.rotations import random_rotation

__all__ = ["crossing_geometry", "crossing_phantom", "single_bundle"]

_ARC_POINTS = 49  # control points of a bent bundle: every 3°


def crossing_geometry(
    angle_degrees: float = 60.0,
    *,
    edges: Float[np.ndarray, "3"] | None = None,
    middle: Float[np.ndarray, "3"] | None = None,
    corner: Float[np.ndarray, "3"] | None = None,
    seed: int = 0,
) -> Geometry:
    """Return a straight bundle and a gently bent one that cross at the centre of a block of grey matter.

    The crossing's plane is turned at random in space by `seed`, so that no fibre follows a voxel axis. The second
    bundle bends out of that plane on a circle of 1.5 times the volume's longest edge: its direction changes along
    its course while the angle between the two stays within two degrees of the one asked. A ball of CSF at one edge
    of the volume borders on grey matter and, in most orientations, on a bundle.

    angle_degrees: between the bundles, above 0 to 90. edges: of the volume, mm; 40, 40 and 20 by default. middle: of
    the volume and of the crossing, scanner mm; the origin by default. corner: where the CSF lies, scanner mm.
    Raises SimulationError for an angle out of range.
    """
    if not 0 < angle_degrees <= 90:
        raise SimulationError(f"angle_degrees {angle_degrees:g}: two axes cross at more than 0 and at most 90 degrees")
    edges = np.array([40.0, 40.0, 20.0]) if edges is None else edges
    middle = np.zeros(3) if middle is None else middle
    corner = middle - np.array([edges[0], edges[1], 0.0]) / 2 if corner is None else corner
    frame = random_rotation(np.random.default_rng([seed, 1]))
    half = np.radians(angle_degrees) / 2
    first = frame @ np.array([np.cos(half), np.sin(half), 0.0])
    second = frame @ np.array([np.cos(half), -np.sin(half), 0.0])
    longest = float(edges.max())
    return Geometry(
        name=f"crossing {angle_degrees:g}°",
        bundles=(
            _straight("straight", middle, first, 0.14 * longest, 2 * longest),
            _arc("bent", middle, second, frame[:, 2], 1.5 * longest, 0.14 * longest),
        ),
        extent=2 * np.abs(middle) + edges,
        regions=(Region.ball("CSF", corner, 0.3 * longest, over_bundles=False),),
    )


def crossing_phantom(
    angle_degrees: float = 60.0,
    *,
    shape: tuple[int, int, int] = (20, 20, 10),
    protocol: Protocol = RESEARCH,
    snr: float | None = 20.0,
    seed: int = 0,
    affine: Float[np.ndarray, "4 4"] | None = None,
) -> Phantom:
    """Return the scan of `crossing_geometry` in the middle of a volume.

    affine: voxel index → scanner RAS mm; 2 mm voxels along the scanner axes by default. snr: b=0 intensity over σ of
    the Rician noise, or None. seed: of orientation and noise.

    Raises SimulationError for an angle out of range or an SNR not above zero.
    """
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    geometry = crossing_geometry(
        angle_degrees,
        edges=np.linalg.norm(affine[:3, :3], axis=0) * shape,
        middle=affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3],
        corner=affine[:3, :3] @ np.array([0.0, 0.0, (shape[2] - 1) / 2]) + affine[:3, 3],
        seed=seed,
    )
    return simulate(geometry, protocol_gradients(protocol), shape, affine, Measurement(snr, 1, seed))


def single_bundle(
    direction: Float[np.ndarray, "3"],
    affine: Float[np.ndarray, "4 4"],
    *,
    shape: tuple[int, int, int] = (5, 5, 5),
    protocol: Protocol = RESEARCH,
    snr: float | None = None,
    seed: int = 0,
) -> Phantom:
    """Return a volume filled by parallel fibres along `direction` (scanner axes, any length but zero).

    affine: voxel index → scanner RAS mm. snr: b=0 intensity over σ, or None without noise. seed: of the noise.

    Raises SimulationError for a zero direction or an SNR not above zero.
    """
    axis = normalised(np.asarray(direction, dtype=np.float64))
    if not axis.any():
        raise SimulationError("direction (0, 0, 0): a bundle needs a direction")
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    size = 2 * float(np.linalg.norm(affine[:3, :3], axis=0) @ np.array(shape))
    bundle = _straight("all", middle, axis, size, size)
    geometry = Geometry("single bundle", (bundle,), 2 * np.abs(middle) + size)
    return simulate(geometry, protocol_gradients(protocol), shape, affine, Measurement(snr, 1, seed))


def _straight(
    name: str, centre: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"], radius: float, half_length: float
) -> Bundle:
    """Return a cylinder of parallel fibres."""
    points = centre + np.array([[-half_length], [half_length]]) * direction
    return Bundle(name, points, np.full(2, radius), ends="chord")


def _arc(
    name: str,
    centre: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "3"],
    bend: Float[np.ndarray, "3"],
    bend_radius: float,
    radius: float,
) -> Bundle:
    """Return a tube around 144° of a circle that passes `centre` along `direction`, its middle towards `bend`."""
    angles = np.radians(np.linspace(-72.0, 72.0, _ARC_POINTS))[:, None]
    points = centre + bend_radius * (bend + np.sin(angles) * direction - np.cos(angles) * bend)
    return Bundle(name, points, np.full(_ARC_POINTS, radius), ends="chord")
