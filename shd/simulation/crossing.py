"""Two phantoms with one question each: do two crossing bundles come apart, and does one bundle point the right way?"""

import numpy as np
from jaxtyping import Float

from shd.simulation.geometry import ArcBundle, Ball, StraightBundle
from shd.simulation.phantoms import Phantom, simulate
from shd.simulation.protocols import RESEARCH, Protocol, protocol_gradients
from shd.sphere.directions import normalised
from shd.sphere.rotations import random_rotation

__all__ = ["crossing_phantom", "single_bundle"]


def crossing_phantom(
    angle_degrees: float = 60.0,
    *,
    shape: tuple[int, int, int] = (20, 20, 10),
    protocol: Protocol = RESEARCH,
    snr: float | None = 20.0,
    seed: int = 0,
    affine: Float[np.ndarray, "4 4"] | None = None,
) -> Phantom:
    """Return a straight bundle and a gently bent one that cross at the centre of a block of grey matter.

    The crossing's plane is turned at random in space by `seed`, so that no fibre follows a voxel axis. The second
    bundle bends out of that plane on a circle of 1.5 times the volume's longest edge: its direction changes along
    its course while the angle between the two stays within two degrees of the one asked. A ball of CSF at one edge
    of the volume borders on grey matter and, in most orientations, on a bundle.

    angle_degrees: between the bundles, above 0 to 90. affine: voxel index → scanner RAS mm; 2 mm voxels along the
    scanner axes by default. snr: b=0 intensity over σ of the Rician noise, or None. seed: of orientation and noise.

    Raises ValueError for an angle out of range or an SNR not above zero.
    """
    if not 0 < angle_degrees <= 90:
        raise ValueError(f"angle_degrees {angle_degrees}: two axes cross at more than 0 and at most 90 degrees")
    _check_snr(snr)
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    edges = np.linalg.norm(affine[:3, :3], axis=0) * shape
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    frame = random_rotation(np.random.default_rng([seed, 1]))
    half = np.radians(angle_degrees) / 2
    first = frame @ np.array([np.cos(half), np.sin(half), 0.0])
    second = frame @ np.array([np.cos(half), -np.sin(half), 0.0])
    radius = 0.14 * edges.max()
    bundles = (
        StraightBundle(middle, first, radius),
        ArcBundle(middle, second, frame[:, 2], 1.5 * edges.max(), radius),
    )
    corner = affine[:3, :3] @ np.array([0.0, 0.0, (shape[2] - 1) / 2]) + affine[:3, 3]
    csf = (Ball(corner, 0.3 * edges.max()),)
    name = f"crossing {angle_degrees:g}°"
    return simulate(bundles, csf, protocol_gradients(protocol), shape, affine, snr, seed, name)


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

    Raises ValueError for a zero direction or an SNR not above zero.
    """
    axis = normalised(np.asarray(direction, dtype=np.float64))
    if not axis.any():
        raise ValueError("direction (0, 0, 0): a bundle needs a direction")
    _check_snr(snr)
    bundle = StraightBundle(affine[:3, 3], axis, np.inf)
    return simulate((bundle,), (), protocol_gradients(protocol), shape, affine, snr, seed, "single bundle")


def _check_snr(snr: float | None) -> None:
    if snr is not None and not snr > 0:
        raise ValueError(f"snr {snr}: the signal-to-noise ratio is above 0, or None without noise")
