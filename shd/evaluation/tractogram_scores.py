"""Scores of a tractogram on simulated bundles, as the Tractometer defines them.

Côté et al., Med. Image Anal. 17 (2013) for valid, invalid and no connections and valid bundles; Maier-Hein et al.,
Nature Communications 8 (2017) for overlap, overreach and F1 of each bundle.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from shd.errors import EvaluationError
from shd.evaluation.truth import Truth
from shd.evaluation.visited_voxels import visited_voxels

__all__ = [
    "BundleScores",
    "Streamlines",
    "TractogramScores",
    "connections",
    "end_labels",
    "score_tractogram",
]

_BLOCK = 1000  # streamlines whose voxels are found at a time


@dataclass(frozen=True, eq=False)
class Streamlines:
    """Polylines one after the other. points: scanner RAS mm. lengths: points of each."""

    points: Float[np.ndarray, "point 3"]
    lengths: Int[np.ndarray, " streamline"]

    @property
    def offsets(self) -> Int[np.ndarray, " streamline_and_end"]:
        """Index of the first point of each streamline, then the number of points."""
        return np.concatenate([[0], np.cumsum(self.lengths)])


@dataclass(frozen=True)
class BundleScores:
    """One bundle. streamlines: its valid connections. overlap: share of its voxels that they visit. overreach: voxels
    that they visit outside it, over its voxels. f1: Dice coefficient of the visited voxels and the bundle's.
    """

    bundle: int
    streamlines: int
    overlap: float
    overreach: float
    f1: float


@dataclass(frozen=True)
class TractogramScores:
    """A tractogram against the bundles.

    valid_connections: share of the streamlines that join the two ends of a bundle. invalid_connections: that join two
    end regions of different bundles, or the like ends of two. no_connections: the rest, which reach no region at one
    end at least, or come back to the region they left. valid_bundles: bundles with a valid connection, of `bundles`.
    invalid_bundles: pairs of regions joined that are no bundle. overlap, overreach, f1: means over all bundles, a
    bundle without a valid connection counting as zero.
    """

    streamlines: int
    valid_connections: float
    invalid_connections: float
    no_connections: float
    bundles: int
    valid_bundles: int
    invalid_bundles: int
    overlap: float
    overreach: float
    f1: float
    by_bundle: tuple[BundleScores, ...]


def score_tractogram(streamlines: Streamlines, truth: Truth, *, reach_mm: float | None = None) -> TractogramScores:
    """Return the scores of a tractogram on the bundles of the truth.

    A streamline's end belongs to the region of its voxel, or to the nearest within `reach_mm` (by default the longest
    edge of a voxel: tracking stops a little before or beyond the end). A bundle's voxels are all that hold any of it.

    Raises EvaluationError where the truth has no end regions, or there are no streamlines.
    """
    if not truth.endpoints.any():
        raise EvaluationError("the truth has 0 end regions of bundles: a tractogram cannot be scored on it")
    count = len(streamlines.lengths)
    if count == 0:
        raise EvaluationError("the tractogram holds 0 streamlines: there is nothing to score")
    labels = end_labels(streamlines, truth, reach_mm)
    valid, invalid = connections(labels)
    bundle = np.where(valid, (labels.min(axis=1) - 1) // 2, -1)
    numbers = [int(number) for number in np.unique(truth.bundles) if number >= 0]
    visited = _visited_by_bundle(streamlines, bundle, truth)
    scores = tuple(
        _score_bundle(number, int((bundle == number).sum()), visited.get(number), truth) for number in numbers
    )
    return TractogramScores(
        streamlines=count,
        valid_connections=float(valid.mean()),
        invalid_connections=float(invalid.mean()),
        no_connections=float(1.0 - (valid | invalid).mean()),
        bundles=len(numbers),
        valid_bundles=sum(score.streamlines > 0 for score in scores),
        invalid_bundles=len(np.unique(np.sort(labels, axis=1)[invalid], axis=0)),
        overlap=float(np.mean([score.overlap for score in scores])),
        overreach=float(np.mean([score.overreach for score in scores])),
        f1=float(np.mean([score.f1 for score in scores])),
        by_bundle=scores,
    )


def end_labels(
    streamlines: Streamlines, truth: Truth, reach_mm: float | None = None
) -> Int[np.ndarray, "streamline end"]:
    """Return the label of the end region at the first and the last point of each streamline, 0 where there is none.

    reach_mm: as in `score_tractogram`. Streamlines of fewer than two points end nowhere.
    """
    sizes = np.linalg.norm(truth.affine[:3, :3], axis=0)
    reach = float(sizes.max()) if reach_mm is None else reach_mm
    distance, nearest = distance_transform_edt(truth.endpoints == 0, sampling=sizes, return_indices=True)
    regions = np.where(distance <= reach, truth.endpoints[tuple(nearest)], 0).astype(np.int64)
    labels = np.zeros((len(streamlines.lengths), 2), dtype=np.int64)
    whole = streamlines.lengths >= 2
    first = streamlines.offsets[:-1][whole]
    for end, index in enumerate((first, first + streamlines.lengths[whole] - 1)):
        voxels = np.floor(_in_voxels(streamlines.points[index], truth.affine) + 0.5).astype(np.int64)
        inside = np.all((voxels >= 0) & (voxels < regions.shape), axis=1)
        labels[np.flatnonzero(whole)[inside], end] = regions[tuple(voxels[inside].T)]
    return labels


def connections(
    labels: Int[np.ndarray, "streamline end"],
) -> tuple[Bool[np.ndarray, " streamline"], Bool[np.ndarray, " streamline"]]:
    """Return which streamlines join the two ends of a bundle, and which join others; `labels` as of `end_labels`."""
    low, high = labels.min(axis=1), labels.max(axis=1)
    joined = (low > 0) & (low != high)
    valid = joined & (low % 2 == 1) & (high == low + 1)
    return valid, joined & ~valid


def _visited_by_bundle(
    streamlines: Streamlines, bundle: Int[np.ndarray, " streamline"], truth: Truth
) -> dict[int, Bool[np.ndarray, "x y z"]]:
    """Return the voxels that each bundle's valid connections visit; those outside the grid are left out."""
    shape, offsets = truth.mask.shape, streamlines.offsets
    visited: dict[int, np.ndarray] = {}
    chosen = np.flatnonzero(bundle >= 0)
    for block in np.split(chosen, range(_BLOCK, len(chosen), _BLOCK)):
        if len(block) == 0:
            continue
        points = np.concatenate([np.arange(offsets[row], offsets[row + 1]) for row in block])
        owner = np.repeat(bundle[block], streamlines.lengths[block])
        line = np.repeat(block, streamlines.lengths[block])
        places = _in_voxels(streamlines.points[points], truth.affine)
        same = np.flatnonzero(line[1:] == line[:-1])
        segment, voxels = visited_voxels(places[same], places[same + 1])
        inside = np.all((voxels >= 0) & (voxels < shape), axis=1)
        voxels, owners = voxels[inside], owner[same][segment][inside]
        for number in np.unique(owners):
            field = visited.setdefault(int(number), np.zeros(shape, dtype=bool))
            field[tuple(voxels[owners == number].T)] = True
    return visited


def _score_bundle(
    number: int, streamlines: int, visited: Bool[np.ndarray, "x y z"] | None, truth: Truth
) -> BundleScores:
    mask = np.any((truth.bundles == number) & (truth.fractions > 0), axis=-1)
    size = int(mask.sum())
    if visited is None or size == 0:
        return BundleScores(number, streamlines, 0.0, 0.0, 0.0)
    both = int((visited & mask).sum())
    beyond = int(visited.sum()) - both
    return BundleScores(number, streamlines, both / size, beyond / size, 2 * both / (both + beyond + size))


def _in_voxels(points: Float[np.ndarray, "point 3"], affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "point 3"]:
    """Return scanner mm in voxel units."""
    inverse = np.linalg.inv(affine)
    return points.astype(np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
