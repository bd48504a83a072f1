"""The voxels that lines run through, each of them, however short the way inside."""

import numpy as np
from jaxtyping import Float, Int

__all__ = ["visited_voxels"]

_SHORTEST = 1e-6  # of a segment: what touches a corner or an edge of a voxel is not inside it


def visited_voxels(
    starts: Float[np.ndarray, "segment 3"], ends: Float[np.ndarray, "segment 3"]
) -> tuple[Int[np.ndarray, " visit"], Int[np.ndarray, "visit 3"]]:
    """Return the segment and the voxel of every visit of straight segments, in the order in which they are made.

    Each segment is cut where it crosses a plane between voxels; the middle of each piece says which voxel it lies in.

    starts, ends: in voxel units, voxel (i, j, k) covering i − 0.5 to i + 0.5 and so on.
    """
    starts, ends = starts + 0.5, ends + 0.5
    segments = np.arange(len(starts))
    owners, places = [segments, segments], [np.zeros(len(starts)), np.ones(len(starts))]
    for axis in range(3):
        a, b = starts[:, axis], ends[:, axis]
        first = np.floor(np.minimum(a, b)) + 1
        count = np.maximum(np.floor(np.maximum(a, b)) - first + 1, 0).astype(np.int64)
        owner = np.repeat(segments, count)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        owners.append(owner)
        places.append((first[owner] + number - a[owner]) / (b - a)[owner])
    owner, place = np.concatenate(owners), np.concatenate(places)
    order = np.lexsort((place, owner))
    owner, place = owner[order], place[order]
    piece = np.flatnonzero((owner[1:] == owner[:-1]) & (place[1:] - place[:-1] > _SHORTEST))
    middle = (place[piece] + place[piece + 1]) / 2
    owner = owner[piece]
    inside = starts[owner] + middle[:, None] * (ends - starts)[owner]
    return owner, np.floor(inside).astype(np.int64)
