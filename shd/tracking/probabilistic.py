"""Probabilistic tracking by DIPY: each step's direction is drawn in proportion to the fODF above the cutoff."""

from math import pi, sqrt

import numpy as np
from dipy.core.sphere import Sphere
from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
from dipy.tracking.tracker import probabilistic_tracking
from jaxtyping import Float, Float64

from shd.sphere.directions import half_sphere
from shd.tracking.field import TrackingField
from shd.tracking.seeds import Seeds
from shd.tracking.settings import TrackSettings

__all__ = ["DIPY_BASIS", "ProbabilisticTracker", "above_cutoff", "random_number", "sphere"]

DIRECTIONS = 500  # of half a sphere, 6.4° apart: degree 12 has nothing finer than 15°
DIPY_BASIS = {"basis_type": "tournier07", "legacy": False}
_WHOLE = 1 << 32


def sphere() -> Sphere:
    """Return the directions that DIPY draws from: half a sphere, since it takes each for both of its signs."""
    return Sphere(xyz=half_sphere(DIRECTIONS))


def above_cutoff(field: TrackingField, cutoff: float) -> Float64[np.ndarray, "x y z coeff"]:
    """Return what DIPY tracks on: the fODF less the cutoff, in double precision on the cropped grid.

    DIPY has no absolute threshold, but sets what is negative to zero: so no direction is drawn in which the fODF is
    below the cutoff, however high it is elsewhere. Outside the mask the fODF is zero.
    """
    volume = np.zeros((*field.rows.shape, field.coefficients.shape[-1]))
    volume[field.mask] = field.coefficients
    volume[..., 0] -= cutoff * sqrt(4.0 * pi)
    return volume


def random_number(field: TrackingField, seed: int) -> int:
    """Return a number from which DIPY makes each streamline's random stream.

    It multiplies it by 2x + 3y + 5z of the seed point and cuts the product to 32 bits' whole number: small numbers give
    neighbouring seeds one stream. This one spreads them over all 32 bits, without exceeding them.
    """
    greatest = 2 * field.rows.shape[0] + 3 * field.rows.shape[1] + 5 * field.rows.shape[2]
    most = min(_WHOLE // greatest, 2**31 - 1)
    return int(np.random.default_rng([seed, 2]).integers(most // 2, most))


class ProbabilisticTracker:
    """DIPY's compiled tracker, on several threads; the random stream of a streamline depends on its seed alone."""

    def __init__(self, field: TrackingField, settings: TrackSettings, threads: int) -> None:
        self._coefficients = above_cutoff(field, settings.cutoff)
        self._stopping = BinaryStoppingCriterion(field.mask)
        self._sizes, self._settings, self._threads = field.voxel_sizes, settings, threads
        self._number, self._sphere = random_number(field, settings.seed), sphere()

    def follow(self, seeds: Seeds) -> list[Float[np.ndarray, "point 3"]]:
        """Return a line a seed, in voxel units of the field."""
        if len(seeds.points) == 0:
            return []
        settings = self._settings
        lines = probabilistic_tracking(
            seeds.points, self._stopping, np.eye(4), seed_directions=seeds.directions, sh=self._coefficients,
            min_len=0, max_len=settings.max_length + 2 * settings.step, step_size=settings.step,
            voxel_size=self._sizes, max_angle=settings.angle, pmf_threshold=0.0, sphere=self._sphere,
            nbr_threads=self._threads, random_seed=self._number, **DIPY_BASIS,
        )  # fmt: skip
        return [np.asarray(line) for line in lines]
