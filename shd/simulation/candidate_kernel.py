"""The compiled search for the bundles that may reach a voxel: plain arrays in, plain arrays out.

A segment is the stretch of a centreline between two samples; the points that belong to it lie between the planes at
right angles to the curve at its ends, no further from it than the radius. A voxel is kept where its circumscribed
ball meets that piece.
"""

from typing import no_type_check

import numpy as np

from shd.just_in_time import compiled

__all__ = ["count_candidates", "list_candidates"]


@compiled
@no_type_check
def _box(a, b, reach, to_voxel, shape, low, high):
    """Write the range of voxel indices whose centres may lie within `reach` mm of the segment from a to b."""
    for axis in range(3):
        u = v = to_voxel[axis, 3]
        length = 0.0
        for k in range(3):
            u += to_voxel[axis, k] * a[k]
            v += to_voxel[axis, k] * b[k]
            length += to_voxel[axis, k] ** 2
        pad = reach * np.sqrt(length)
        low[axis] = int(np.ceil(max(0.0, min(float(shape[axis]), min(u, v) - pad))))
        high[axis] = int(np.floor(min(shape[axis] - 1.0, max(-1.0, max(u, v) + pad)))) + 1


@compiled
@no_type_check
def _meets(x, y, z, i, points, tangents, reach, half_diagonal):
    """Whether the ball around a voxel's centre meets segment i: between its planes, and near its line."""
    before = after = along = square = 0.0
    for k in range(3):
        p = (x, y, z)[k]
        before += (p - points[i, k]) * tangents[i, k]
        after += (p - points[i + 1, k]) * tangents[i + 1, k]
        step = points[i + 1, k] - points[i, k]
        along += (p - points[i, k]) * step
        square += step * step
    if before < -half_diagonal or after > half_diagonal:
        return False
    t = min(1.0, max(0.0, along / square))
    distance = 0.0
    for k in range(3):
        p = (x, y, z)[k]
        distance += (p - points[i, k] - t * (points[i + 1, k] - points[i, k])) ** 2
    return distance <= reach * reach


@compiled
@no_type_check
def count_candidates(points, tangents, radii, first_sample, affine, to_voxel, shape, half_diagonal, counts):
    """Add to `counts` (voxel, C order) how many bundles may reach each voxel."""
    stamp = np.full(counts.size, -1, np.int32)
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for bundle in range(len(first_sample) - 1):
        for i in range(first_sample[bundle], first_sample[bundle + 1] - 1):
            reach = max(radii[i], radii[i + 1]) + half_diagonal
            _box(points[i], points[i + 1], reach, to_voxel, shape, low, high)
            for a in range(low[0], high[0]):
                for b in range(low[1], high[1]):
                    for c in range(low[2], high[2]):
                        voxel = (a * shape[1] + b) * shape[2] + c
                        if stamp[voxel] == bundle:
                            continue
                        x = affine[0, 0] * a + affine[0, 1] * b + affine[0, 2] * c + affine[0, 3]
                        y = affine[1, 0] * a + affine[1, 1] * b + affine[1, 2] * c + affine[1, 3]
                        z = affine[2, 0] * a + affine[2, 1] * b + affine[2, 2] * c + affine[2, 3]
                        if _meets(x, y, z, i, points, tangents, reach, half_diagonal):
                            stamp[voxel] = bundle
                            counts[voxel] += 1


@compiled
@no_type_check
def list_candidates(
    points, tangents, radii, first_sample, affine, to_voxel, shape, half_diagonal,
    starts,  # int64 (voxel + 1): where each voxel's candidates begin, from `count_candidates`
    bundles,  # int32 (candidate): filled with the bundle, ascending within a voxel
    first,  # int32 (candidate): filled with the first segment that may reach the voxel
    last,  # int32 (candidate): filled with the last one
):  # fmt: skip
    """List the bundles that may reach each voxel, and between which segments."""
    current = np.full(starts.size - 1, -1, np.int64)
    used = np.zeros(starts.size - 1, np.int32)
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for bundle in range(len(first_sample) - 1):
        for i in range(first_sample[bundle], first_sample[bundle + 1] - 1):
            reach = max(radii[i], radii[i + 1]) + half_diagonal
            _box(points[i], points[i + 1], reach, to_voxel, shape, low, high)
            for a in range(low[0], high[0]):
                for b in range(low[1], high[1]):
                    for c in range(low[2], high[2]):
                        x = affine[0, 0] * a + affine[0, 1] * b + affine[0, 2] * c + affine[0, 3]
                        y = affine[1, 0] * a + affine[1, 1] * b + affine[1, 2] * c + affine[1, 3]
                        z = affine[2, 0] * a + affine[2, 1] * b + affine[2, 2] * c + affine[2, 3]
                        if not _meets(x, y, z, i, points, tangents, reach, half_diagonal):
                            continue
                        voxel = (a * shape[1] + b) * shape[2] + c
                        entry = current[voxel]
                        if entry < 0 or bundles[entry] != bundle:
                            entry = starts[voxel] + used[voxel]
                            used[voxel] += 1
                            current[voxel] = entry
                            bundles[entry], first[entry] = bundle, i
                        last[entry] = i
