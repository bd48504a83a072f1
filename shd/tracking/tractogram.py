"""A tractogram: batches of seeds followed until there are enough streamlines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from shd.errors import ScanError, number_of
from shd.evaluation.tractogram_scores import Streamlines
from shd.fodf.peaks import find_peaks
from shd.processors import usable_processors
from shd.tracking.deterministic import DeterministicTracker
from shd.tracking.field import TrackingField
from shd.tracking.particle import ParticleTracker
from shd.tracking.probabilistic import ProbabilisticTracker
from shd.tracking.seeds import Seeds, seed_batches, seed_total
from shd.tracking.settings import TrackSettings

__all__ = ["TRACKERS", "Tracker", "Tractogram", "track_field"]


class Tracker(Protocol):
    """What follows seeds. A tracker is made with a field, settings and a number of threads."""

    def follow(self, seeds: Seeds) -> list[Float[np.ndarray, "point 3"]]:
        """Return lines in voxel units of the field, at most one a seed, in the order of the seeds."""
        ...


_SOME = 5000  # voxels looked at to explain why nothing was found

TRACKERS: dict[str, Callable[[TrackingField, TrackSettings, int], Tracker]] = {
    "deterministic": DeterministicTracker,
    "probabilistic": ProbabilisticTracker,
    "particle": ParticleTracker,
}


@dataclass(frozen=True, eq=False)
class Tractogram:
    """streamlines: scanner RAS mm. seeds: how many were tried, up to that of the last streamline if they were selected.
    """

    streamlines: Streamlines
    seeds: int


def track_field(
    field: TrackingField,
    where: Bool[np.ndarray, "x y z"],
    settings: TrackSettings,
    *,
    threads: int | None = None,
    advance: Callable[[float, int], None] = lambda share, found: None,
) -> Tractogram:
    """Return the streamlines from seeds in some voxels of the field's grid.

    The same settings give the same streamlines, bit for bit, on any number of threads, as many as
    processors that may be used if None. advance: told the share that is
    done and the streamlines found, after each batch. Raises ScanError where no seed gives a streamline.
    """
    threads = threads or usable_processors()
    tracker = TRACKERS[settings.algorithm](field, settings, threads)
    total = seed_total(int((where & field.mask).sum()), settings)
    points: list[np.ndarray] = []
    lengths: list[int] = []
    tried = 0
    for count, seeds in seed_batches(field, where, settings, threads):
        for line in tracker.follow(seeds):
            length = (len(line) - 1) * settings.step
            if len(line) >= 2 and settings.min_length <= length <= settings.max_length:
                points.append(field.in_scanner(line))
                lengths.append(len(line))
                if len(lengths) == settings.select:
                    break
        selected = len(lengths) == settings.select
        tried = _number_of(line, seeds) + 1 if selected else tried + count
        advance(max(tried / total, len(lengths) / settings.select if settings.select else 0.0), len(lengths))
        if selected:
            break
    if not lengths:
        raise ScanError(
            f"0 streamlines from {number_of(tried, 'seed')}, of {settings.min_length:g} to {settings.max_length:g} "
            f"mm where the fODF exceeds {settings.cutoff:g}; the highest at the seeds is "
            f"{_highest(field, where):.2f}: lower --cutoff or --min-length, or seed elsewhere"
        )
    return Tractogram(Streamlines(np.concatenate(points), np.array(lengths, dtype=np.int64)), tried)


def _number_of(line: Float[np.ndarray, "point 3"], seeds: Seeds) -> int:
    """Return the number of the seed that a line was followed from: the seed is one of its points."""
    distance, _ = cKDTree(line).query(seeds.points)
    return int(seeds.numbers[distance.argmin()])


def _highest(field: TrackingField, where: Bool[np.ndarray, "x y z"]) -> float:
    """Return the highest fODF amplitude of some of the seed voxels."""
    rows = field.rows[where & field.mask]
    return float(find_peaks(field.coefficients[rows[:_SOME]], count=1).amplitudes.max())
