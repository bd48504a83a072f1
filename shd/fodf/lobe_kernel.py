"""The compiled inner loop that cuts fODFs into lobes: plain arrays in, plain arrays out.

Every direction of the grid where the function is positive belongs to the lobe of its highest neighbour, and so on
uphill to a maximum of the grid; lobes whose maxima climb to one peak of the function itself are one.
"""

from typing import no_type_check

import numpy as np

from shd.fodf.peak_kernel import climb, combine, second_derivatives
from shd.just_in_time import compiled

__all__ = ["lobes_of_block"]


@compiled
@no_type_check
def _uphill(row, neighbours, above):
    """Fill `above` with the highest direction around each positive one, itself at a top, or −1; return how many tops.

    Of two directions equally high, the one of lower index counts as the higher, so that no two point at each other.
    """
    tops = 0
    for i in range(len(row)):
        if not row[i] > 0.0:
            above[i] = -1
            continue
        best = i
        for j in neighbours[i]:
            if row[j] > row[best] or (row[j] == row[best] and j < best):
                best = j
        above[i] = best
        tops += best == i
    return tops


@compiled
@no_type_check
def _follow(above):
    """Replace what is above each direction by the top above it."""
    for i in range(len(above)):
        if above[i] < 0:
            continue
        top = above[i]
        while above[top] != top:
            top = above[top]
        here = i
        while above[here] != top:
            above[here], here = top, above[here]


@compiled
@no_type_check
def _lobe_of(x, y, z, peaks, number, cosine):
    """Return the index of the lobe whose peak this is, of either sign; `number` if it is a new one."""
    for k in range(number):
        if abs(peaks[k, 0] * x + peaks[k, 1] * y + peaks[k, 2] * z) >= cosine:
            return k
    return number


@compiled
@no_type_check
def _climb_from_tops(
    above, second, degree, grid, longest_step, flat, steepest, cosine, powers, lobe, peaks, heights
):  # fmt: skip
    """Fill `lobe` at every top with the lobe of the peak above it, −1 where there is none; return how many lobes."""
    number, found = 0, np.empty(3)
    for i in range(len(grid)):
        if above[i] != i:
            continue
        height = climb(
            second, degree, grid[i, 0], grid[i, 1], grid[i, 2], longest_step, flat, steepest, -np.inf, powers, found
        )
        if np.isnan(height):
            lobe[i] = -1
            continue
        lobe[i] = _lobe_of(found[0], found[1], found[2], peaks, number, cosine)
        if lobe[i] == number:
            peaks[number, 0], peaks[number, 1], peaks[number, 2] = found[0], found[1], found[2]
            heights[number] = height
            number += 1
    return number


@compiled
@no_type_check
def _gather(row, weights, grid, above, lobe, peaks, number, means, sums):
    """Fill `sums` with the integral of each lobe and `means` with its directions' sum on the side of its peak."""
    means[:number] = 0.0
    sums[:number] = 0.0
    for i in range(len(grid)):
        k = lobe[above[i]] if above[i] >= 0 else -1
        if k < 0:
            continue
        share = weights[i] * row[i]
        sums[k] += share
        along = peaks[k, 0] * grid[i, 0] + peaks[k, 1] * grid[i, 1] + peaks[k, 2] * grid[i, 2]
        for axis in range(3):
            means[k, axis] += share * grid[i, axis] * (1.0 if along >= 0.0 else -1.0)


@compiled
@no_type_check
def _write_largest(number, peaks, heights, means, sums, threshold, least, found):
    """Write the lobes above both thresholds to `found` by falling integral; return how many there are.

    A row holds the mean direction (3), the peak's (3), the integral and the peak's height.
    """
    written = 0
    while written < len(found):
        best = -1
        for k in range(number):
            if heights[k] >= threshold and sums[k] >= least and (best < 0 or sums[k] > sums[best]):
                best = k
        if best < 0:
            break
        sign = -1.0 if peaks[best, 2] < 0.0 else 1.0
        length = sign * np.sqrt(means[best, 0] ** 2 + means[best, 1] ** 2 + means[best, 2] ** 2)
        for axis in range(3):
            found[written, axis] = means[best, axis] / length
            found[written, 3 + axis] = sign * peaks[best, axis]
        found[written, 6], found[written, 7] = sums[best], heights[best]
        heights[best] = -np.inf
        written += 1
    return written


@compiled
@no_type_check
def lobes_of_block(
    coefficients,  # float32 (voxel, coeff): the functions in even harmonics up to `degree` ≥ 2
    degree,
    basis,  # float32 (coeff, grid): the harmonics at the grid directions
    to_polynomial,  # float64 (coeff, monomial): as for `peaks_of_block`
    grid,  # float64 (grid, 3): unit vectors covering half the sphere
    weights,  # float64 (grid): the solid angle of each and its antipode
    neighbours,  # int32 (grid, width): the grid directions around each, of either sign, padded with itself
    longest_step,  # radians
    cosine,  # of the angle within which two tops have climbed to one peak
    flatness,  # as for `peaks_of_block`
    threshold,  # the least height of a lobe's peak, above 0
    least,  # the least integral of a lobe
    lobes,  # float32 (voxel, most, 8): filled, a row as `_write_largest` makes it
    numbers,  # int64 (voxel): filled with how many rows of `lobes` are
):
    """Fill `lobes` with the largest lobes of every voxel."""
    size = len(grid)
    second, powers = np.empty((degree * (degree - 1) // 2, 6)), np.empty((3, degree))
    row, polynomial = np.empty(size, np.float32), np.empty(to_polynomial.shape[1])
    above, lobe = np.empty(size, np.int64), np.empty(size, np.int64)
    peaks, heights = np.empty((size, 3)), np.empty(size)
    means, sums = np.empty((size, 3)), np.empty(size)
    for voxel in range(len(coefficients)):
        numbers[voxel] = 0
        combine(coefficients[voxel], basis, row)
        highest, lowest = row.max(), row.min()
        contrast = highest - lowest
        if not contrast > flatness * max(abs(highest), abs(lowest)):  # isotropic, zero or not a number
            continue
        if _uphill(row, neighbours, above) == 0:
            continue
        _follow(above)
        combine(coefficients[voxel], to_polynomial, polynomial)
        second_derivatives(polynomial, degree, second)
        flat, steepest = flatness * contrast, degree**3 * max(abs(highest), abs(lowest))
        number = _climb_from_tops(
            above, second, degree, grid, longest_step, flat, steepest, cosine, powers, lobe, peaks, heights
        )
        _gather(row, weights, grid, above, lobe, peaks, number, means, sums)
        numbers[voxel] = _write_largest(number, peaks, heights, means, sums, threshold, least, lobes[voxel])
