"""A ball of 27 bundles with the kinds of content that the ISBI 2013 HARDI reconstruction challenge had.

The layout is our own; the challenge's file can be read as it is by `shd.io.geometry.read_geometry`.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from shd.simulation.geometry import Bundle, Geometry, Region
from shd.sphere.directions import normalised

__all__ = ["challenge_geometry"]

RADIUS = 50.0  # of the ball, mm

# name, radius, then the direction of the first end, inner control points (mm), and the direction of the last end
Row = tuple[str, float, tuple[float, float, float], Sequence[tuple[float, float, float]], tuple[float, float, float]]

# Arches from side to side, one behind the other: commissures that bend sharply where they are lowest.
_ARCHES: tuple[Row, ...] = tuple(
    (f"arch {number + 1}", 4.0, (-x, y, z), ((0.0, 44.0 * y, height),), (x, y, z))
    for number, (x, y, z, height) in enumerate(
        (
            (0.62, 0.72, 0.42, 3.0),
            (0.66, 0.48, 0.62, 7.0),
            (0.64, 0.18, 0.74, 10.0),
            (0.70, -0.12, 0.70, 10.0),
            (0.84, -0.34, 0.46, 8.0),
            (0.60, -0.60, 0.56, 6.0),
            (0.96, -0.08, 0.14, 5.0),
        )
    )
)
# Columns from the base to the top, which the arches cross at right angles and less.
_COLUMNS: tuple[Row, ...] = (
    ("column left 1", 5.0, (-0.25, -0.10, -0.96), ((-13.0, -6.0, -20.0), (-13.0, -6.0, 8.0)), (-0.28, -0.12, 0.95)),
    ("column left 2", 3.0, (-0.30, 0.12, -0.95), ((-14.0, 6.0, -18.0), (-16.0, 9.0, 10.0)), (-0.52, 0.36, 0.78)),
    ("column right 1", 4.0, (0.25, -0.10, -0.96), ((13.0, -6.0, -20.0), (14.0, -8.0, 8.0)), (0.34, -0.36, 0.87)),
    ("column right 2", 3.0, (0.30, 0.12, -0.95), ((14.0, 6.0, -18.0), (15.0, 6.0, 10.0)), (0.26, 0.14, 0.96)),
)
# Along the middle plane, over the arches: one long bend that touches all of them.
_BELTS: tuple[Row, ...] = (
    (
        "belt left",
        3.0,
        (-0.10, 0.92, -0.36),
        ((-5.0, 30.0, 8.0), (-5.0, 0.0, 17.0), (-5.0, -26.0, 9.0)),
        (-0.1, -0.9, -0.4),
    ),
    (
        "belt right",
        3.0,
        (0.10, 0.92, -0.36),
        ((5.0, 30.0, 8.0), (5.0, 0.0, 17.0), (5.0, -26.0, 9.0)),
        (0.1, -0.9, -0.4),
    ),
)
# Beside the balls of CSF: thin bundles that bend around them, partial volume all along.
_CONTOURS: tuple[Row, ...] = (
    ("contour left 1", 2.0, (-0.55, -0.78, -0.30), ((-14.0, -24.0, -6.0), (-9.0, -12.0, -18.0)), (-0.42, -0.34, -0.84)),
    (
        "contour left 2",
        2.0,
        (-0.20, -0.88, -0.43),
        ((-7.0, -26.0, -16.0), (-15.0, -11.0, -20.0)),
        (-0.78, -0.30, -0.55),
    ),
    ("contour right 1", 2.0, (0.55, -0.78, -0.30), ((14.0, -24.0, -6.0), (9.0, -12.0, -18.0)), (0.42, -0.34, -0.84)),
    ("contour right 2", 2.0, (0.20, -0.88, -0.43), ((7.0, -26.0, -16.0), (15.0, -11.0, -20.0)), (0.78, -0.30, -0.55)),
)
# Hooks between neighbouring places of the surface.
_HOOKS: tuple[Row, ...] = (
    ("hook left", 4.0, (-0.40, 0.70, 0.59), ((-20.0, 27.0, 7.0),), (-0.72, 0.68, 0.13)),
    ("hook right", 2.5, (0.52, -0.60, 0.61), ((17.0, -25.0, 7.0),), (0.80, -0.58, 0.13)),
)


def challenge_geometry(*, seed: int = 0) -> Geometry:
    """Return 27 bundles in a ball of 50 mm radius, with three balls of CSF: arches, columns that cross them, belts over
    them, four bundles that cross in one place and four in another, thin ones along CSF, and hooks.

    Bundles end at the surface, at right angles to it. seed: 0 is the fixed layout, with which methods are compared;
    others move every inner control point at random by about a millimetre.
    """
    rows = [*_ARCHES, *_COLUMNS, *_BELTS, *_CONTOURS, *_HOOKS, *_star("left", -19.0), *_star("right", 19.0)]
    generator = np.random.default_rng([seed, 6])
    bundles = []
    for name, radius, first, inner, last in rows:
        tips = RADIUS * normalised(np.array([first, last]))
        middle = np.array(inner)
        if seed:
            middle = middle + generator.standard_normal(middle.shape)
        points = np.concatenate([tips[:1], middle, tips[1:]])
        bundles.append(Bundle(name, points, np.full(len(points), radius)))
    drops = (
        Region.ball("CSF left", np.array([-19.0, -21.0, -19.0]), 8.5),
        Region.ball("CSF right", np.array([19.0, -21.0, -19.0]), 8.5),
        Region.ball("CSF middle", np.array([0.0, 4.0, -12.0]), 7.0),
    )
    outline = Region.ball("outline", np.zeros(3), RADIUS)
    return Geometry("challenge", tuple(bundles), np.full(3, 2.2 * RADIUS), drops, outline)


def _star(side: str, x: float) -> Iterator[Row]:
    """Give four bundles that cross at one place: three near one plane, 50° to 70° apart, and one that rises."""
    centre = np.array([x, 19.0, -15.0])
    sign = np.sign(x)
    for number, (azimuth, rise) in enumerate(((0.0, 0.0), (50.0, 0.2), (110.0, -0.2), (60.0, 1.6))):
        angle = np.radians(azimuth)
        along = normalised(np.array([sign * np.cos(angle), np.sin(angle), rise]))
        ends = [_exit(centre, -along), _exit(centre, along)]
        inner = [centre + step * along for step in (-7.0, 7.0)]
        first, last = (tuple(float(v) for v in end / RADIUS) for end in ends)
        yield (
            f"star {side} {number + 1}", 3.0, (first[0], first[1], first[2]),
            [(float(p[0]), float(p[1]), float(p[2])) for p in inner], (last[0], last[1], last[2]),
        )  # fmt: skip


def _exit(centre: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return where a ray from inside leaves the ball."""
    b = float(centre @ along)
    return centre + along * (-b + np.sqrt(b * b - float(centre @ centre) + RADIUS**2))
