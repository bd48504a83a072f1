"""The curve in the middle of a bundle: cubic Hermite splines through its control points."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

from shd.simulation.geometry import Bundle
from shd.sphere.directions import normalised

__all__ = ["Centreline", "trace"]

# Between neighbouring samples the tangent turns by at most this: a circle is then met to 4e-4 of the sagitta's step.
_LARGEST_TURN = np.radians(2.0)
_FEWEST, _MOST = 33, 4097


@dataclass(frozen=True, eq=False)
class Centreline:
    """Samples along a curve, close enough that straight lines between them do.

    points: mm. tangents: unit vectors, forwards. curvatures: dT/ds, 1/mm. radii: of the tube, mm. slopes: dR/ds.
    lengths: along the curve from its start, mm.
    """

    points: Float[np.ndarray, "sample 3"]
    tangents: Float[np.ndarray, "sample 3"]
    curvatures: Float[np.ndarray, "sample 3"]
    radii: Float[np.ndarray, " sample"]
    slopes: Float[np.ndarray, " sample"]
    lengths: Float[np.ndarray, " sample"]


def trace(bundle: Bundle, *, largest_turn: float = _LARGEST_TURN) -> Centreline:
    """Return the centreline of a bundle, with samples as close as `largest_turn` (radians between them) asks.

    The curve is that of Phantomas (Caruyer et al., ISMRM 2014), which made the ISBI 2013 challenge: a cubic Hermite
    spline over chord length scaled to 0…1, whose derivative at every control point is as long as all chords together
    and points as the bundle's rules for tangents and ends say. Radii follow a monotone cubic through those given.
    """
    points = np.asarray(bundle.control_points, dtype=np.float64)
    chords = np.linalg.norm(np.diff(points, axis=0), axis=1)
    knots = np.concatenate([[0.0], np.cumsum(chords)]) / chords.sum()
    curve = CubicHermiteSpline(knots, points, _directions(bundle, points) * chords.sum())
    radius = PchipInterpolator(knots, np.asarray(bundle.radii, dtype=np.float64))
    count = _FEWEST
    while True:
        at = np.linspace(0.0, 1.0, count)
        tangents = normalised(curve(at, 1))
        turn = np.arccos(np.clip(np.sum(tangents[1:] * tangents[:-1], axis=1), -1, 1)).max()
        if turn <= largest_turn or count >= _MOST:
            return _sampled(curve, radius, at, tangents)
        count = min(_MOST, 2 * count - 1)


def _directions(bundle: Bundle, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """Return the unit vector of the curve at each control point."""
    directions = np.empty_like(points)
    if bundle.ends == "radial":
        directions[0], directions[-1] = -points[0], points[-1]
    else:
        directions[0], directions[-1] = points[1] - points[0], points[-1] - points[-2]
    before, here, after = points[:-2], points[1:-1], points[2:]
    inner = {"symmetric": after - before, "incoming": here - before, "outgoing": after - here}[bundle.tangents]
    directions[1:-1] = np.where(np.linalg.norm(inner, axis=1, keepdims=True) > 1e-9, inner, here - before)
    return normalised(directions)


def _sampled(
    curve: CubicHermiteSpline,
    radius: PchipInterpolator,
    at: Float[np.ndarray, " sample"],
    tangents: Float[np.ndarray, "sample 3"],
) -> Centreline:
    """Return the curve at the parameters `at`, with derivatives along its length."""
    points, velocity, acceleration = curve(at), curve(at, 1), curve(at, 2)
    speed = np.maximum(np.linalg.norm(velocity, axis=1, keepdims=True), 1e-12)
    along = np.sum(acceleration * tangents, axis=1, keepdims=True) * tangents
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return Centreline(
        points=points,
        tangents=tangents,
        curvatures=(acceleration - along) / speed**2,
        radii=radius(at),
        slopes=radius(at, 1) / speed[:, 0],
        lengths=np.concatenate([[0.0], np.cumsum(steps)]),
    )
