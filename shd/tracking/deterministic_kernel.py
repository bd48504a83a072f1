"""The compiled loop of deterministic tracking: plain arrays in, plain arrays out.

Each step goes along the peak of the fODF interpolated at the point, climbed to from the direction of the step before by
the Newton ascent of the peak finder: a direction exact to 1e-4°, where a search over a sphere's vertices is 2° to 5°
off. Harmonics are interpolated trilinearly over the voxels of the mask; those outside count as zero.
"""

from typing import no_type_check

import numpy as np

from shd.fodf.peak_kernel import climb, combine, second_derivatives
from shd.just_in_time import compiled

__all__ = ["follow_peaks", "interpolate"]

LONGEST_STEP = 0.1  # radians, of the ascent: less than half the width of the narrowest lobe
FLAT = 1e-6  # curvature, in units of the fODF: a ring of maxima has no direction to follow


@compiled
@no_type_check
def _is_inside(rows, x, y, z):
    """Return whether the voxel nearest to a point belongs to the mask."""
    i, j, k = int(np.floor(x + 0.5)), int(np.floor(y + 0.5)), int(np.floor(z + 0.5))
    if i < 0 or j < 0 or k < 0 or i >= rows.shape[0] or j >= rows.shape[1] or k >= rows.shape[2]:
        return False
    return rows[i, j, k] >= 0


@compiled
@no_type_check
def interpolate(coefficients, rows, x, y, z, total):
    """Write the trilinear mean of the rows of `coefficients` around a point to `total`."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    total[:] = 0.0
    for corner in range(8):
        a, b, c = i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)
        if a < 0 or b < 0 or c < 0 or a >= rows.shape[0] or b >= rows.shape[1] or c >= rows.shape[2]:
            continue
        row = rows[a, b, c]
        if row < 0:
            continue
        weight = (1.0 - abs(x - a)) * (1.0 - abs(y - b)) * (1.0 - abs(z - c))
        for n in range(len(total)):
            total[n] += weight * coefficients[row, n]


@compiled
@no_type_check
def _follow(coefficients, rows, to_polynomial, degree, point, direction, step, cosine, cutoff, scratch, line):
    """Fill `line` with points from `point` on, its first row; return how many there are, the last inside the mask.

    direction: of the first step, changed. step: voxel units along each axis for a unit direction.
    """
    total, polynomial, second, powers, found = scratch
    line[0] = point
    for count in range(1, len(line)):
        x, y, z = line[count - 1]
        interpolate(coefficients, rows, x, y, z, total)
        combine(total, to_polynomial, polynomial)
        second_derivatives(polynomial, degree, second)
        value = climb(
            second, degree, direction[0], direction[1], direction[2], LONGEST_STEP, FLAT, np.inf, cutoff, powers, found
        )
        if not value >= cutoff:  # NaN where there is no peak
            return count
        along = found[0] * direction[0] + found[1] * direction[1] + found[2] * direction[2]
        if abs(along) < cosine:
            return count
        sign = 1.0 if along > 0.0 else -1.0
        for axis in range(3):
            direction[axis] = sign * found[axis]
            line[count, axis] = line[count - 1, axis] + direction[axis] * step[axis]
        if not _is_inside(rows, line[count, 0], line[count, 1], line[count, 2]):
            return count
    return len(line)


@compiled
@no_type_check
def follow_peaks(
    coefficients,  # float32 (voxel, coeff): even harmonics of degree ≥ 2, voxel axes
    rows,  # int32 (x, y, z): row of each voxel, -1 outside
    to_polynomial,  # float64 (coeff, monomial), as for the peak finder
    degree,
    points,  # float64 (seed, 3): voxel units
    directions,  # float64 (seed, 3): unit vectors
    step,  # float64 (3): voxel units along each axis for a unit direction
    cosine,  # of the greatest angle between steps
    cutoff,  # amplitude
    lines,  # float32 (seed, 2 n − 1, 3): filled from the middle outwards
    spans,  # int32 (seed, 2): first and last-plus-one point of each
):
    """Follow every seed both ways."""
    size, monomials = coefficients.shape[1], to_polynomial.shape[1]
    scratch = (
        np.empty(size), np.empty(monomials), np.empty((degree * (degree - 1) // 2, 6)), np.empty((3, degree)),
        np.empty(3),
    )  # fmt: skip
    half = (lines.shape[1] + 1) // 2
    line, direction = np.empty((half, 3)), np.empty(3)
    for seed in range(len(points)):
        spans[seed, 0], spans[seed, 1] = half - 1, half
        for way in range(2):
            for axis in range(3):
                direction[axis] = directions[seed, axis] * (1.0 if way == 0 else -1.0)
            count = _follow(
                coefficients, rows, to_polynomial, degree, points[seed], direction, step, cosine, cutoff, scratch, line
            )
            for n in range(count):
                place = half - 1 + n if way == 0 else half - 1 - n
                for axis in range(3):
                    lines[seed, place, axis] = line[n, axis]
            if way == 0:
                spans[seed, 1] = half - 1 + count
            else:
                spans[seed, 0] = half - count
