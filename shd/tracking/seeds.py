"""Where streamlines begin: random points in voxels, and the fibre that each follows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from shd.errors import ScanError
from shd.fodf.peaks import find_peaks
from shd.tracking.field import TrackingField
from shd.tracking.settings import TrackSettings

__all__ = ["Seeds", "initial_directions", "seed_batches", "seed_total"]

BATCH = 5000  # seeds followed at a time, whatever the number of threads: what is random is drawn once a batch
_PEAKS = 4  # of a voxel that seeds choose from


@dataclass(frozen=True, eq=False)
class Seeds:
    """points: voxel units of the tracking field. directions: unit vectors in voxel axes, of either sign. numbers: of
    each among all seeds that are tried.
    """

    points: Float64[np.ndarray, "seed 3"]
    directions: Float64[np.ndarray, "seed 3"]
    numbers: Int[np.ndarray, " seed"]


def seed_total(voxels: int, settings: TrackSettings) -> int:
    """Return the number of seeds that may be followed, at most."""
    return settings.seed_count or voxels * (settings.seeds_per_voxel or 1)


def seed_batches(
    field: TrackingField, where: Bool[np.ndarray, "x y z"], settings: TrackSettings, threads: int | None = None
) -> Iterator[tuple[int, Seeds]]:
    """Give the seeds a batch at a time, with the number of seeds that were tried for it.

    Points are uniform in their voxels; a count of seeds is spread over random voxels, seeds per voxel come in random
    order. Each seed follows one peak of its voxel, drawn in proportion to amplitude, among those above the cutoff;
    without any it is left out. where: voxels of the field's grid. threads: as in `find_peaks`. Raises ScanError where
    none holds an fODF.
    """
    voxels = np.argwhere(where & field.mask)
    if len(voxels) == 0:
        raise ScanError(f"0 of {np.count_nonzero(where)} seed voxels hold an fODF; give seeds inside its mask")
    total = seed_total(len(voxels), settings)
    order = None
    if settings.seeds_per_voxel is not None:
        order = np.random.default_rng([settings.seed, 0]).permutation(total) % len(voxels)
    for number, start in enumerate(range(0, total, BATCH)):
        count = min(BATCH, total - start)
        generator = np.random.default_rng([settings.seed, 1, number])
        chosen = order[start : start + count] if order is not None else generator.integers(len(voxels), size=count)
        points = voxels[chosen] + generator.uniform(-0.5, 0.5, size=(count, 3))
        directions, found = initial_directions(
            field, field.rows[tuple(voxels[chosen].T)], settings.cutoff, generator.uniform(size=count), threads
        )
        yield count, Seeds(points[found], directions[found], start + np.flatnonzero(found))


def initial_directions(
    field: TrackingField,
    rows: Int[np.ndarray, " seed"],
    cutoff: float,
    chance: Float64[np.ndarray, " seed"],
    threads: int | None = None,
) -> tuple[Float64[np.ndarray, "seed 3"], Bool[np.ndarray, " seed"]]:
    """Return a peak of each voxel, and whether it has any above the cutoff.

    chance: uniform in 0 to 1; says which peak, in proportion to the amplitudes.
    """
    distinct, place = np.unique(rows, return_inverse=True)
    peaks = find_peaks(field.coefficients[distinct], count=_PEAKS, absolute_threshold=cutoff, threads=threads)
    sums = np.cumsum(peaks.amplitudes, axis=1, dtype=np.float64)[place]
    chosen = np.minimum((sums <= chance[:, None] * sums[:, -1:]).sum(axis=1), _PEAKS - 1)
    directions = peaks.directions[place, chosen].astype(np.float64)
    length = np.linalg.norm(directions, axis=1)
    return directions / np.where(length > 0, length, 1.0)[:, None], length > 0
