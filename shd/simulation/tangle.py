"""Many bundles that cross each other everywhere at every angle, as in the phantoms of the DiSCo challenge."""

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError
from shd.simulation.centreline import Centreline, trace
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.simulation.phantoms import Phantom, measured
from shd.simulation.protocols import RESEARCH, Protocol
from shd.sphere.directions import normalised

__all__ = ["tangle_geometry", "tangle_phantom"]

_TRIES, _PATIENCE = 2000, 200  # curves drawn for a bundle; after how many it becomes thinner
_RADII = (0.12, 0.2)  # of a bundle, as shares of the ball's radius
_DEPTH, _SCATTER = 0.5, 0.6  # inner points: this far from the centre below the ends, moved by up to so many radii
_LEAST_BEND = 1.5  # radius of curvature at the sharpest bend, in radii of the bundle
_CHOICES = 6  # curves, of which the least crowded becomes a bundle
_TYPICAL_BUNDLES = 16  # for which the radii are meant; more bundles are thinner


def tangle_geometry(bundles: int = 16, *, extent_mm: float = 52.0, seed: int = 0) -> Geometry:
    """Return random curved bundles inside a ball of grey matter with three drops of CSF.

    Each bundle leads from one place of the surface to another, through two points drawn around the middle, and is the
    least crowded of six whose sharpest bend is wider than 1.5 times their radius and whose ends lie apart from those of
    other bundles. The radii are 12 to 20 % of the ball's, less where there are more than 16 bundles or ends find no
    place. Several bundles may share a point. After the setting of Rafael-Patino et al., Front. Neuroinform. 15 (2021),
    with tubes in place of strands.

    extent_mm: diameter of the ball. Raises SimulationError where so many bundles find no place.
    """
    if bundles < 1:
        raise SimulationError(f"bundles {bundles}: give 1 or more")
    if not extent_mm > 0:
        raise SimulationError(f"extent {extent_mm:g} mm: it must be above 0")
    generator = np.random.default_rng([seed, 2])
    radius = extent_mm / 2
    thinner = min(1.0, np.sqrt(_TYPICAL_BUNDLES / bundles))
    made: list[Bundle] = []
    lines: list[Centreline] = []
    for number in range(bundles):
        thick = float(generator.uniform(*_RADII)) * radius * thinner
        bundle, line = _random_bundle(f"bundle {number + 1}", generator, radius, thick, lines)
        made.append(bundle)
        lines.append(line)
    drops = tuple(
        Region.ball(f"CSF {number + 1}", _inside_ball(generator, 0.8 * radius), generator.uniform(0.12, 0.2) * radius)
        for number in range(3)
    )
    outline = Region.ball("outline", np.zeros(3), radius)
    return Geometry(f"tangle of {bundles}", tuple(made), np.full(3, float(extent_mm)), drops, outline)


def tangle_phantom(
    bundles: int = 16,
    extent_mm: float = 52.0,
    voxel_mm: float = 2.0,
    protocol: Protocol = RESEARCH,
    snr: float | None = 20.0,
    seed: int = 0,
) -> Phantom:
    """Return the scan of `tangle_geometry` on cubic voxels; the rest as in `simulate`. seed: of geometry and noise."""
    geometry = tangle_geometry(bundles, extent_mm=extent_mm, seed=seed)
    return measured(geometry, voxel_mm=voxel_mm, protocol=protocol, snr=snr, seed=seed)


def _random_bundle(
    name: str, generator: np.random.Generator, radius: float, thick: float, others: list[Centreline]
) -> tuple[Bundle, Centreline]:
    """Return the least crowded of some gentle curves whose ends lie apart from others'; thinner after many tries."""
    ends = np.array([other.points[k] for other in others for k in (0, -1)]).reshape(-1, 3)
    reach = np.array([other.radii[0] for other in others for _ in (0, 1)])
    found: list[tuple[int, int, Bundle, Centreline]] = []
    for attempt in range(_TRIES):
        if attempt % _PATIENCE == _PATIENCE - 1:
            thick *= 0.85
        tips = radius * normalised(generator.standard_normal((2, 3)))
        points = np.array([tips[0], *_DEPTH * tips, tips[1]])
        points[1:3] += [_inside_ball(generator, _SCATTER * radius) for _ in range(2)]
        near = np.linalg.norm(ends[:, None] - tips, axis=-1) < (reach + thick)[:, None]
        if near.any() or np.linalg.norm(tips[0] - tips[1]) < 3 * thick:
            continue
        if np.linalg.norm(np.diff(points, axis=0), axis=1).min() < 0.25 * radius:
            continue
        bundle = Bundle(name, points, np.full(4, thick))
        line = trace(bundle, largest_turn=np.pi)
        sharpest = float(np.linalg.norm(line.curvatures, axis=1).max())
        furthest = float(np.linalg.norm(line.points, axis=1).max())
        if sharpest * _LEAST_BEND * thick < 1.0 and furthest <= 1.01 * radius:
            found.append((_crowd(line, others), len(found), bundle, line))
        if len(found) == _CHOICES:
            break
    if not found:
        raise SimulationError(f"{name}: no place for {len(others) + 1} bundles with ends apart; ask for fewer bundles")
    return min(found)[2:]


def _crowd(line: Centreline, others: list[Centreline]) -> int:
    """Return how many samples of a curve lie inside two other bundles or more, each counted with its bundles."""
    distances = [np.linalg.norm(line.points[:, None] - other.points[::2], axis=-1).min(axis=1) for other in others]
    inside = [near < other.radii[0] for near, other in zip(distances, others, strict=True)]
    together = np.sum(inside, axis=0) if inside else np.zeros(len(line.points), int)
    return int(together[together > 1].sum() * 100 / len(line.points))


def _inside_ball(generator: np.random.Generator, radius: float) -> Float[np.ndarray, "3"]:
    """Draw a point uniformly inside a ball around the origin."""
    return radius * generator.uniform() ** (1 / 3) * normalised(generator.standard_normal(3))
