"""The compiled inner loop of the peak finder: plain arrays in, plain arrays out, nothing else of shd.

An even function of degree L on the sphere is a homogeneous polynomial p of degree L in (x, y, z). Its second
derivatives S(u), six polynomials of degree L − 2, give everything a Newton step needs, by Euler's theorem:
∇p = S·u/(L−1) and p = uᵀ∇p/L. On the sphere the gradient is the tangential part of ∇p and the Hessian is S − L·p on the
tangent plane (Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, chapters 3 and 5).
Nothing is singular at the poles. Monomials x^a y^b z^c stand at index (b+c)(b+c+1)/2 + c whatever the degree.
"""

from typing import no_type_check

import numpy as np

from shd.just_in_time import compiled_fused

__all__ = ["climb", "combine", "peaks_of_block", "second_derivatives"]

MAX_EVALUATIONS = 60  # Newton needs 3; a flat top, which it approaches only linearly, about 20
LAST_STEP = 1e-6  # radians; a wider stop would see curvature along a ring of maxima where there is none
ERROR = 1e-6  # radians, left after a longer last step, by the bound on third derivatives
OFF_GRID = 0.7  # of the grid's spacing, at most, lie between a peak and the direction next to it
RESERVE = 0.025  # of the range: by how much a peak may surpass that direction beyond what its own height explains


@compiled_fused
@no_type_check
def combine(weights, rows, total):
    """Write the weighted sum of `rows` to `total`; by hand, since BLAS's own threads would fight with the caller's."""
    total[:] = 0.0
    for k in range(len(weights)):
        weight = weights[k]
        for i in range(len(total)):
            total[i] += weight * rows[k, i]


@compiled_fused
@no_type_check
def _combine_four(weights, rows, totals):
    """Write the weighted sums of `rows`, for four lists of weights, to `totals`.

    Rows are read four at a time, each once for four sums: reading them is what takes the time. Their number is a
    multiple of four; rows of weight zero may fill it up.
    """
    totals[:] = 0.0
    for k in range(0, len(rows), 4):
        a0, a1, a2, a3 = weights[0, k], weights[0, k + 1], weights[0, k + 2], weights[0, k + 3]
        b0, b1, b2, b3 = weights[1, k], weights[1, k + 1], weights[1, k + 2], weights[1, k + 3]
        c0, c1, c2, c3 = weights[2, k], weights[2, k + 1], weights[2, k + 2], weights[2, k + 3]
        d0, d1, d2, d3 = weights[3, k], weights[3, k + 1], weights[3, k + 2], weights[3, k + 3]
        for i in range(totals.shape[1]):
            r0, r1, r2, r3 = rows[k, i], rows[k + 1, i], rows[k + 2, i], rows[k + 3, i]
            totals[0, i] += a0 * r0 + a1 * r1 + a2 * r2 + a3 * r3
            totals[1, i] += b0 * r0 + b1 * r1 + b2 * r2 + b3 * r3
            totals[2, i] += c0 * r0 + c1 * r1 + c2 * r2 + c3 * r3
            totals[3, i] += d0 * r0 + d1 * r1 + d2 * r2 + d3 * r3


@compiled_fused
@no_type_check
def _ranges(rows, highest, lowest):
    """Write the highest and lowest value of each of four rows; side by side, or each comparison waits for the last."""
    h0, h1, h2, h3 = rows[0, 0], rows[1, 0], rows[2, 0], rows[3, 0]
    l0, l1, l2, l3 = h0, h1, h2, h3
    for i in range(rows.shape[1]):
        a, b, c, d = rows[0, i], rows[1, i], rows[2, i], rows[3, i]
        h0, h1, h2, h3 = a if a > h0 else h0, b if b > h1 else h1, c if c > h2 else h2, d if d > h3 else h3
        l0, l1, l2, l3 = a if a < l0 else l0, b if b < l1 else l1, c if c < l2 else l2, d if d < l3 else l3
    highest[0], highest[1], highest[2], highest[3] = h0, h1, h2, h3
    lowest[0], lowest[1], lowest[2], lowest[3] = l0, l1, l2, l3


@compiled_fused
@no_type_check
def _tops(row, neighbours, cut, tops):
    """Write the indices of the grid directions not below `cut` nor below a neighbour; return how many there are.

    A sieve, one neighbour of every candidate at a time: all are written, and only those that pass are counted. Without
    branches on the data, which no processor foresees, it takes a fifth of the time of a loop that leaves early.
    """
    number = 0
    for i in range(len(row)):
        tops[number] = i
        number += row[i] >= cut
    for k in range(neighbours.shape[1]):
        candidates, number = number, 0
        for n in range(candidates):
            i = tops[n]
            tops[number] = i
            number += row[neighbours[i, k]] <= row[i]
    return number


@compiled_fused
@no_type_check
def second_derivatives(polynomial, degree, second):
    """Fill `second` (monomial of degree L−2, 6) with the polynomials xx, xy, xz, yy, yz, zz."""
    for s in range(degree - 1):
        a = degree - 2 - s
        for c in range(s + 1):
            b = s - c
            here = s * (s + 1) // 2 + c
            one_up = (s + 1) * (s + 2) // 2 + c
            two_up = (s + 2) * (s + 3) // 2 + c
            second[here, 0] = (a + 2) * (a + 1) * polynomial[here]
            second[here, 1] = (a + 1) * (b + 1) * polynomial[one_up]
            second[here, 2] = (a + 1) * (c + 1) * polynomial[one_up + 1]
            second[here, 3] = (b + 2) * (b + 1) * polynomial[two_up]
            second[here, 4] = (b + 1) * (c + 1) * polynomial[two_up + 1]
            second[here, 5] = (c + 2) * (c + 1) * polynomial[two_up + 2]


@compiled_fused
@no_type_check
def _hessian(second, degree, x, y, z, powers):
    """Return the six second derivatives at (x, y, z)."""
    powers[0, 0] = powers[1, 0] = powers[2, 0] = 1.0
    for k in range(1, degree - 1):
        powers[0, k] = powers[0, k - 1] * x
        powers[1, k] = powers[1, k - 1] * y
        powers[2, k] = powers[2, k - 1] * z
    xx = xy = xz = yy = yz = zz = 0.0
    here = 0
    for s in range(degree - 1):
        for c in range(s + 1):
            monomial = powers[0, degree - 2 - s] * powers[1, s - c] * powers[2, c]
            xx += second[here, 0] * monomial
            xy += second[here, 1] * monomial
            xz += second[here, 2] * monomial
            yy += second[here, 3] * monomial
            yz += second[here, 4] * monomial
            zz += second[here, 5] * monomial
            here += 1
    return xx, xy, xz, yy, yz, zz


@compiled_fused
@no_type_check
def _tangent(x, y, z):
    """Return two unit vectors that make an orthonormal frame with the unit vector (x, y, z).

    Duff et al., Journal of Computer Graphics Techniques 6 (2017), listing 3: no branch and no singular direction.
    """
    sign = 1.0 if z >= 0.0 else -1.0
    p = -1.0 / (sign + z)
    q = x * y * p
    return 1.0 + sign * x * x * p, sign * q, -sign * x, q, sign + y * y * p, -y


@compiled_fused
@no_type_check
def _local_model(second, degree, x, y, z, frame, powers):
    """Return value, tangential gradient (2) and Hessian (3) of the function at a unit vector."""
    xx, xy, xz, yy, yz, zz = _hessian(second, degree, x, y, z, powers)
    slope_x = (xx * x + xy * y + xz * z) / (degree - 1)
    slope_y = (xy * x + yy * y + yz * z) / (degree - 1)
    slope_z = (xz * x + yz * y + zz * z) / (degree - 1)
    radial = slope_x * x + slope_y * y + slope_z * z  # L times the value
    e0, e1, e2, n0, n1, n2 = frame
    se0, se1, se2 = xx * e0 + xy * e1 + xz * e2, xy * e0 + yy * e1 + yz * e2, xz * e0 + yz * e1 + zz * e2
    sn0, sn1, sn2 = xx * n0 + xy * n1 + xz * n2, xy * n0 + yy * n1 + yz * n2, xz * n0 + yz * n1 + zz * n2
    return (
        radial / degree,
        slope_x * e0 + slope_y * e1 + slope_z * e2,
        slope_x * n0 + slope_y * n1 + slope_z * n2,
        se0 * e0 + se1 * e1 + se2 * e2 - radial,
        se0 * n0 + se1 * n1 + se2 * n2,
        sn0 * n0 + sn1 * n1 + sn2 * n2 - radial,
    )


@compiled_fused
@no_type_check
def climb(second, degree, x, y, z, longest_step, flat, steepest, floor, powers, found):
    """Climb from a unit vector to the maximum above it; write it to `found` (3) and return its value, or NaN.

    Newton steps where the surface is curved downwards, else steps along the gradient; none longer than `longest_step`
    (radians), each halved until it climbs. `steepest` bounds the third derivatives: after a Newton step s, what is left
    to go is at most `steepest`·s²/2 over the gentlest curvature, and the value at its end is as predicted within
    `steepest`·s³/2. NaN: no strict maximum, that is no curvature beyond `flat` some way round, or one below `floor`.
    """
    frame = _tangent(x, y, z)
    value, g1, g2, h11, h12, h22 = _local_model(second, degree, x, y, z, frame, powers)
    evaluations = 1
    while evaluations < MAX_EVALUATIONS:
        determinant = h11 * h22 - h12 * h12
        curved_down = determinant > 0.0 and h11 + h22 < 0.0
        gentlest = 0.5 * (h11 + h22) + np.sqrt(0.25 * (h11 - h22) ** 2 + h12 * h12)
        if curved_down:
            s1, s2 = (h12 * g2 - h22 * g1) / determinant, (h12 * g1 - h11 * g2) / determinant
        else:
            s1, s2 = g1, g2
        size = np.sqrt(s1 * s1 + s2 * s2)
        if curved_down and value + 0.5 * (g1 * s1 + g2 * s2) + 0.5 * steepest * size**3 < floor:
            return np.nan
        if size == 0.0 and not curved_down:
            return np.nan  # a saddle or a flat place
        if size > longest_step or not curved_down:
            s1, s2 = s1 * longest_step / size, s2 * longest_step / size
            size = longest_step
        while True:
            onto = 1.0 / np.sqrt(1.0 + size * size)
            new_x = onto * (x + s1 * frame[0] + s2 * frame[3])
            new_y = onto * (y + s1 * frame[1] + s2 * frame[4])
            new_z = onto * (z + s1 * frame[2] + s2 * frame[5])
            if curved_down and (size < LAST_STEP or steepest * size * size < -2.0 * ERROR * gentlest):
                found[0], found[1], found[2] = new_x, new_y, new_z
                return value + 0.5 * (g1 * s1 + g2 * s2) if gentlest < -flat else np.nan
            new_frame = _tangent(new_x, new_y, new_z)
            model = _local_model(second, degree, new_x, new_y, new_z, new_frame, powers)
            evaluations += 1
            if model[0] >= value or evaluations >= MAX_EVALUATIONS:
                break
            s1, s2, size = 0.5 * s1, 0.5 * s2, 0.5 * size
        x, y, z, frame = new_x, new_y, new_z, new_frame
        value, g1, g2, h11, h12, h22 = model
    return np.nan


@compiled_fused
@no_type_check
def _choose(found, values, number, count, relative, absolute, cosine, directions, amplitudes):
    """Write the highest `count` of the maxima, in falling order, leaving out those beside a higher one."""
    threshold = absolute
    for rank in range(count):
        best = -1
        for i in range(number):
            if values[i] >= threshold and values[i] > absolute and (best < 0 or values[i] > values[best]):
                best = i
        if best < 0:
            return
        if rank == 0:
            threshold = max(absolute, relative * values[best])
        x, y, z = found[best, 0], found[best, 1], found[best, 2]
        sign = -1.0 if z < 0.0 else 1.0
        directions[rank, 0], directions[rank, 1], directions[rank, 2] = sign * x, sign * y, sign * z
        amplitudes[rank] = values[best]
        for i in range(number):
            if abs(found[i, 0] * x + found[i, 1] * y + found[i, 2] * z) >= cosine:
                values[i] = -np.inf


@compiled_fused
@no_type_check
def _maxima(
    row, lowest, highest, tops, grid, neighbours, second, degree, longest_step, relative, absolute, flatness, powers,
    found, values,
):  # fmt: skip
    """Climb from every grid direction that may lie below a peak; write the maxima, and return how many there are.

    The highest top comes first: what it leads to says how high the others must be. A top is left out where the peak
    above it would have to surpass it by more than it surpasses its lowest neighbour; a paraboloid's peak does so by a
    quarter of that.
    """
    contrast = highest - lowest
    flat, steepest = flatness * contrast, degree**3 * max(abs(highest), abs(lowest))
    floor = max(absolute, relative * highest)
    # a peak as sharp as that of the highest degree alone has L(L+1)/2 times its height for curvature
    sharpest = 0.25 * degree * (degree + 1) * (OFF_GRID * longest_step) ** 2
    number = _tops(row, neighbours, floor - sharpest * max(floor, 0.0) - RESERVE * contrast, tops)
    if number == 0:  # nothing is as high as the absolute threshold
        return 0
    first = 0
    for n in range(1, number):
        first = n if row[tops[n]] > row[tops[first]] else first
    i = tops[first]
    values[0] = climb(
        second, degree, grid[i, 0], grid[i, 1], grid[i, 2], longest_step, flat, steepest, -np.inf, powers, found[0]
    )
    floor, maxima = max(absolute, relative * values[0]), 1
    if np.isnan(values[0]):  # a ring or a plateau: it is no peak, and says nothing of how high others must be
        number, floor, maxima = _tops(row, neighbours, -np.inf, tops), absolute, 0
    for n in range(number):
        j = tops[n]
        if j == i:
            continue
        around = row[j]
        for k in range(neighbours.shape[1]):
            around = min(around, row[neighbours[j, k]])
        if 2.0 * row[j] - around >= floor:
            values[maxima] = climb(
                second, degree, grid[j, 0], grid[j, 1], grid[j, 2], longest_step, flat, steepest, floor, powers,
                found[maxima],
            )  # fmt: skip
            maxima += not np.isnan(values[maxima])
    return maxima


@compiled_fused
@no_type_check
def peaks_of_block(
    coefficients,  # float32 (voxel, coeff): the functions in even harmonics up to `degree` ≥ 2
    degree,
    basis,  # float32 (coeff, grid): the harmonics at the grid directions, filled up with zeros to a multiple of four
    to_polynomial,  # float64 (coeff, monomial): the harmonics as homogeneous polynomials of degree `degree`
    grid,  # float64 (grid, 3): unit vectors covering half the sphere
    neighbours,  # int32 (grid, width): the grid directions around each, of either sign, padded with itself
    longest_step,  # radians, the spacing of the grid
    count,
    relative,
    absolute,
    cosine,  # of the least angle between two peaks
    flatness,  # a function whose range, or a maximum whose curvature, is below this share has no peak
    directions,  # float32 (voxel, count, 3), zeros: filled
    amplitudes,  # float32 (voxel, count), zeros: filled
):
    """Fill `directions` and `amplitudes` with the peaks of every voxel."""
    size = len(grid)
    found, values, tops = np.empty((size, 3)), np.empty(size), np.empty(size + 1, np.int32)
    second, powers = np.empty((degree * (degree - 1) // 2, 6)), np.empty((3, degree))
    polynomial, rows = np.empty(to_polynomial.shape[1]), np.empty((4, size), np.float32)
    weights = np.zeros((4, len(basis)), np.float32)
    highest, lowest = np.empty(4, np.float32), np.empty(4, np.float32)
    for voxel in range(len(coefficients)):
        lane = voxel % 4
        if lane == 0:
            together = coefficients[voxel : voxel + 4]
            weights[: len(together), : coefficients.shape[1]] = together
            _combine_four(weights, basis, rows)
            _ranges(rows, highest, lowest)
        contrast = highest[lane] - lowest[lane]
        if not contrast > flatness * max(abs(highest[lane]), abs(lowest[lane])):  # isotropic, zero or not a number
            continue
        combine(coefficients[voxel], to_polynomial, polynomial)
        second_derivatives(polynomial, degree, second)
        number = _maxima(
            rows[lane], lowest[lane], highest[lane], tops, grid, neighbours, second, degree, longest_step, relative,
            absolute, flatness, powers, found, values,
        )  # fmt: skip
        _choose(found, values, number, count, relative, absolute, cosine, directions[voxel], amplitudes[voxel])
