"""A head: white matter full of crossing tracts, folded cortex, deep grey matter, ventricles and the fluid around.

No anatomy of a person: tracts named after those of a human brain run where those roughly run, so that their crossings,
their partial volume and their ends in the cortex are of the right kind.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.sphere.directions import half_sphere, normalised

__all__ = ["brain_geometry"]

_LENGTH = 182.0  # mm from the front of the head to its back, for which the numbers below are
_HEAD, _PIA, _WHITE = (72.0, 91.0, 65.0), (65.0, 83.5, 58.5), (61.0, 79.0, 54.5)  # semi-axes
_FOLDS = {"pia": 0.16, "white": 0.20}  # amplitudes: gyri stand out from the white surface more than from the pia
_WAVES, _FREQUENCY = 5, 23.0  # of the folds: waves on the unit sphere, radians from its middle to its surface
_TIPS = 1.22  # where a tract ends, as a multiple of the white surface's semi-axes: beyond every gyrus, cut off there
_FANS = 24  # radiations of each half to the cortex
_HOOKS = 14  # short tracts of each half between neighbouring gyri
_WIDER = 1.5  # of the tracts below, against the radii listed
_JITTER = 1.2  # mm, of inner control points

# Both halves have these: name, control points (mm, x outwards) and radii; "tip" rows run on to the cortex.
_PATHS: tuple[tuple[str, tuple[tuple[float, float, float], ...], tuple[float, ...]], ...] = (
    ("cingulum", ((7, 62, -4), (7, 52, 14), (8, 22, 29), (8, -20, 31), (9, -52, 20), (14, -58, -2)), (3.5,) * 6),
    (
        "arcuate",
        ((44, 66, 18), (37, 36, 22), (36, 0, 27), (40, -36, 20), (45, -34, -6), (52, -14, -30)),
        (5, 4, 4, 4, 4, 6),
    ),
    (
        "superior longitudinal",
        ((34, 80, 34), (30, 40, 34), (30, -6, 37), (32, -46, 34), (34, -84, 34)),
        (6, 4, 4, 4, 6),
    ),
    (
        "fronto-occipital",
        ((22, 92, -6), (25, 50, -6), (33, 14, -9), (35, -24, -4), (27, -60, -2), (18, -96, -2)),
        (7, 4, 3, 3, 4, 7),
    ),
    (
        "inferior longitudinal",
        ((42, 48, -40), (41, 12, -29), (41, -26, -20), (32, -62, -14), (22, -94, -14)),
        (6, 4, 4, 4, 6),
    ),
    ("uncinate", ((30, 84, -24), (26, 44, -15), (31, 17, -16), (37, 24, -30), (42, 50, -48)), (5, 3.5, 3, 3.5, 5)),
    ("optic radiation", ((19, -18, -4), (31, -22, -5), (31, -48, 2), (14, -96, 8)), (3, 3.5, 4, 7)),
    ("anterior thalamic", ((10, -2, 4), (17, 18, 7), (20, 40, 12), (22, 94, 24)), (3, 3.5, 5, 9)),
    ("corticospinal", ((6, -16, -74), (9, -15, -40), (20, -9, -4), (23, -9, 22), (26, -12, 74)), (4, 4, 4, 6, 10)),
    (
        "corticopontine front",
        ((8, -12, -74), (10, -11, -38), (18, 2, -2), (22, 14, 22), (24, 40, 66)),
        (3, 3, 3.5, 6, 10),
    ),
    (
        "corticopontine back",
        ((6, -21, -74), (9, -20, -42), (22, -21, -4), (26, -30, 22), (24, -56, 62)),
        (3, 3, 3.5, 6, 10),
    ),
)  # fmt: skip
# The corpus callosum, from front to back: y of its middle, height of its middle, and the point of the cortex (x y z).
_CALLOSUM: tuple[tuple[float, float, tuple[float, float, float]], ...] = (
    (38.0, 10.0, (20, 92, 18)),
    (34.0, 18.0, (32, 76, 44)),
    (24.0, 23.0, (36, 52, 60)),
    (12.0, 25.0, (42, 26, 66)),
    (0.0, 26.0, (52, 4, 60)),
    (-12.0, 26.0, (46, -16, 66)),
    (-24.0, 25.0, (56, -34, 50)),
    (-34.0, 22.0, (42, -64, 54)),
    (-42.0, 17.0, (22, -94, 26)),
)


def brain_geometry(*, extent_mm: float = _LENGTH, seed: int = 0) -> Geometry:
    """Return a head of some 80 tracts. extent_mm: its length from front to back; smaller heads are the same, scaled.

    Inside the white surface are tracts, which all end there: callosal, projection and association tracts, thalamic
    radiations that fan out to all of the cortex, and hooks from gyrus to gyrus. Between it and the pia lies cortex,
    folded by random waves; inside lie deep grey matter and ventricles, outside the pia fluid to the edge of the head,
    and beyond it nothing. seed: of the folds, the hooks, and small shifts of all tracts. Raises SimulationError for an
    extent not above zero.
    """
    if not extent_mm > 0:
        raise SimulationError(f"extent {extent_mm:g} mm: it must be above 0")
    generator = np.random.default_rng([seed, 7])
    waves = np.zeros((_WAVES, 4))
    waves[:, :3] = _FREQUENCY * normalised(generator.standard_normal((_WAVES, 3)))
    waves[:, 3] = generator.uniform(0, 2 * np.pi, _WAVES)
    scale = extent_mm / _LENGTH
    tracts = [*_commissures(), *_paths(), *_radiations(), *_hooks(generator)]
    bundles = tuple(_tract(name, points, radii, scale, generator) for name, points, radii in tracts)
    white = _shape("white surface", _WHITE, "gm", scale, amplitude=_FOLDS["white"], waves=waves)
    pia = _shape("cortex", _PIA, "gm", scale, amplitude=_FOLDS["pia"], waves=waves, over=False)
    head = _shape("head", _HEAD, "csf", scale)
    extent = 2 * np.array(_HEAD) * scale
    return Geometry("brain", bundles, extent, (*_inside(scale), pia), head, white, fill="csf")


Tract = tuple[str, Float[np.ndarray, "point 3"], Float[np.ndarray, " point"]]


def _tract(
    name: str,
    points: Float[np.ndarray, "point 3"],
    radii: Float[np.ndarray, " point"],
    scale: float,
    generator: np.random.Generator,
) -> Bundle:
    """Return a bundle, its inner control points moved a little."""
    moved = points.copy()
    moved[1:-1] += _JITTER * generator.standard_normal(moved[1:-1].shape)
    return Bundle(name, scale * moved, scale * radii, ends="chord")


def _mirrored(points: Float[np.ndarray, "*point 3"], sign: float) -> Float[np.ndarray, "*point 3"]:
    return points * np.array([sign, 1.0, 1.0])


def _commissures() -> Iterator[Tract]:
    """Give the corpus callosum: arches over the ventricles that fan out on both sides."""
    for number, (y, height, tip) in enumerate(_CALLOSUM):
        end = np.array(tip, dtype=float) * 1.1
        shoulder = np.array([18.0, y + 0.15 * (end[1] - y), height + 5.0])
        points = [_mirrored(end, -1.0), _mirrored(shoulder, -1.0), np.array([0.0, y, height]), shoulder, end]
        yield f"callosum {number + 1}", np.array(points), np.array([14.0, 7.0, 4.5, 7.0, 14.0])


def _paths() -> Iterator[Tract]:
    """Give the named tracts of both halves."""
    for side, sign in (("left", -1.0), ("right", 1.0)):
        for name, points, radii in _PATHS:
            yield (
                f"{name} {side}",
                _mirrored(np.array(points, dtype=float), sign),
                _WIDER * np.array(radii, dtype=float),
            )


def _radiations() -> Iterator[Tract]:
    """Give cones from beside the thalamus to all of the cortex; their directions are even over the half-sphere."""
    for side, sign in (("left", -1.0), ("right", 1.0)):
        for number, direction in enumerate(half_sphere(_FANS)[:, [2, 0, 1]]):
            start = np.array([12.0, -6.0 + 10.0 * direction[1], 3.0 + 6.0 * direction[2]])
            tip = _TIPS * np.array(_WHITE) * normalised(direction + np.array([0.12, 0.0, 0.0]))
            tip[0] = max(tip[0], 9.0)  # beside the fissure, not across it
            points = np.array([start, start + 0.35 * (tip - start), tip])
            length = float(np.linalg.norm(tip - start))
            radii = np.array([3.0, 4.0 + 0.09 * length, 0.28 * length])
            yield f"radiation {number + 1} {side}", _mirrored(points, sign), radii


def _hooks(generator: np.random.Generator) -> Iterator[Tract]:
    """Give short tracts that leave the cortex, turn below it, and come back to it 25 mm further on."""
    for side, sign in (("left", -1.0), ("right", 1.0)):
        for number in range(_HOOKS):
            out = normalised(
                np.abs(generator.standard_normal(3)) * [1, 0, 0] + generator.standard_normal(3) * [0, 1, 1]
            )
            aside = normalised(np.cross(out, generator.standard_normal(3)))
            ends = [normalised(out + step * aside) for step in (-0.2, 0.2)]
            axes = np.array(_WHITE)
            points = np.array([_TIPS * axes * ends[0], 0.8 * axes * out, _TIPS * axes * ends[1]])
            yield f"hook {number + 1} {side}", _mirrored(points, sign), np.array([3.0, 2.5, 3.0])


def _shape(
    name: str,
    semi_axes: tuple[float, float, float],
    tissue: str,
    scale: float,
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0),
    amplitude: float = 0.0,
    waves: Float[np.ndarray, "wave 4"] | None = None,
    over: bool = True,
) -> Region:
    waves = np.zeros((0, 4)) if waves is None else waves
    return Region(
        name, scale * np.array(centre), scale * np.array(semi_axes), tissue, 1.0, over, amplitude, waves
    )  # fmt: skip


def _inside(scale: float) -> Iterator[Region]:
    """Give what displaces fibres: ventricles, deep grey matter, and the fissure above the callosum."""
    yield _shape("third ventricle", (1.8, 11.0, 9.0), "csf", scale, (0.0, -6.0, -3.0))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        yield _shape(f"ventricle {side}", (5.0, 27.0, 8.0), "csf", scale, (7.0 * sign, -2.0, 13.0))
        yield _shape(f"horn {side}", (4.0, 16.0, 4.5), "csf", scale, (17.0 * sign, -40.0, 4.0))
        yield _shape(f"thalamus {side}", (6.0, 11.0, 7.5), "gm", scale, (9.0 * sign, -8.0, 2.0))
        yield _shape(f"putamen {side}", (4.0, 14.0, 8.5), "gm", scale, (27.0 * sign, 7.0, 2.0))
    yield _shape("fissure front", (1.6, 60.0, 30.0), "csf", scale, (0.0, 18.0, 62.0))
    yield _shape("fissure back", (1.6, 30.0, 44.0), "csf", scale, (0.0, -82.0, 20.0))
    yield _shape("fissure tip", (1.6, 26.0, 40.0), "csf", scale, (0.0, 82.0, 6.0))
