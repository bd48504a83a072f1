"""The compiled inner loop of the peak finder: plain arrays in, plain arrays out, nothing else of shd.

An even function of degree L on the sphere is a homogeneous polynomial p of degree L in (x, y, z). Its second
derivatives S(u), six polynomials of degree L − 2, give everything a Newton step needs, by Euler's theorem:
∇p = S·u/(L−1) and p = uᵀ∇p/L. On the sphere the gradient is the tangential part of ∇p and the Hessian is S − L·p on the
tangent plane (Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, chapters 3 and 5).
Nothing is singular at the poles. Monomials x^a y^b z^c stand at index (b+c)(b+c+1)/2 + c whatever the degree.
"""

from typing import no_type_check

import numpy as np

from shd.just_in_time import compiled

__all__ = ["climb", "combine", "peaks_of_block", "second_derivatives"]

MAX_EVALUATIONS = 60  # Newton needs 3 or 4; a flat top, which it approaches only linearly, about 20
LAST_STEP = 1e-6  # radians; a wider stop would see curvature along a ring of maxima where there is none


@compiled
@no_type_check
def combine(weights, rows, total):
    """Write the weighted sum of `rows` to `total`; by hand, since BLAS's own threads would fight with the caller's."""
    total[:] = 0.0
    for k in range(len(weights)):
        weight = weights[k]
        for i in range(len(total)):
            total[i] += weight * rows[k, i]


@compiled
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


@compiled
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


@compiled
@no_type_check
def _tangent(x, y, z):
    """Return two unit vectors that make an orthonormal frame with the unit vector (x, y, z).

    Duff et al., Journal of Computer Graphics Techniques 6 (2017), listing 3: no branch and no singular direction.
    """
    sign = 1.0 if z >= 0.0 else -1.0
    p = -1.0 / (sign + z)
    q = x * y * p
    return 1.0 + sign * x * x * p, sign * q, -sign * x, q, sign + y * y * p, -y


@compiled
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


@compiled
@no_type_check
def climb(second, degree, x, y, z, longest_step, flat, powers, found):
    """Climb from a unit vector to the maximum above it; write it to `found` (3) and return its value, or NaN.

    Newton steps where the surface is curved downwards, else steps along the gradient; none longer than `longest_step`
    (radians), each halved until it climbs. NaN: no strict maximum, that is no curvature beyond `flat` some way round.
    """
    frame = _tangent(x, y, z)
    value, g1, g2, h11, h12, h22 = _local_model(second, degree, x, y, z, frame, powers)
    evaluations = 1
    while evaluations < MAX_EVALUATIONS:
        determinant = h11 * h22 - h12 * h12
        curved_down = determinant > 0.0 and h11 + h22 < 0.0
        if curved_down:
            s1, s2 = (h12 * g2 - h22 * g1) / determinant, (h12 * g1 - h11 * g2) / determinant
        else:
            s1, s2 = g1, g2
        size = np.hypot(s1, s2)
        if size == 0.0 and not curved_down:
            return np.nan  # a saddle or a flat place
        if size > longest_step or not curved_down:
            s1, s2 = s1 * longest_step / size, s2 * longest_step / size
            size = longest_step
        while True:
            sinc = np.sin(size) / size if size > 0.0 else 1.0
            cosine = np.cos(size)
            new_x = cosine * x + sinc * (s1 * frame[0] + s2 * frame[3])
            new_y = cosine * y + sinc * (s1 * frame[1] + s2 * frame[4])
            new_z = cosine * z + sinc * (s1 * frame[2] + s2 * frame[5])
            if curved_down and size < LAST_STEP:
                found[0], found[1], found[2] = new_x, new_y, new_z
                gentlest = 0.5 * (h11 + h22) + np.hypot(0.5 * (h11 - h22), h12)
                return value + 0.5 * (g1 * s1 + g2 * s2) if gentlest < -flat else np.nan
            new_frame = _tangent(new_x, new_y, new_z)
            model = _local_model(second, degree, new_x, new_y, new_z, new_frame, powers)
            evaluations += 1
            if model[0] >= value or evaluations >= MAX_EVALUATIONS:
                break
            s1, s2, size = 0.5 * s1, 0.5 * s2, 0.5 * size
        length = np.sqrt(new_x * new_x + new_y * new_y + new_z * new_z)
        x, y, z, frame = new_x / length, new_y / length, new_z / length, new_frame
        value, g1, g2, h11, h12, h22 = model
    return np.nan


@compiled
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


@compiled
@no_type_check
def peaks_of_block(
    coefficients,  # float32 (voxel, coeff): the functions in even harmonics up to `degree` ≥ 2
    degree,
    basis,  # float32 (coeff, grid): the harmonics at the grid directions
    to_polynomial,  # float64 (coeff, monomial): the harmonics as homogeneous polynomials of degree `degree`
    grid,  # float64 (grid, 3): unit vectors covering half the sphere
    neighbours,  # int32 (grid, width): the grid directions around each, of either sign, padded with itself
    longest_step,  # radians
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
    found, values = np.empty((size, 3)), np.empty(size)
    second, powers = np.empty((degree * (degree - 1) // 2, 6)), np.empty((3, degree))
    row, polynomial = np.empty(size, np.float32), np.empty(to_polynomial.shape[1])
    for voxel in range(len(coefficients)):
        combine(coefficients[voxel], basis, row)
        highest, lowest = row.max(), row.min()
        contrast = highest - lowest
        if not contrast > flatness * max(abs(highest), abs(lowest)):  # isotropic, zero or not a number
            continue
        combine(coefficients[voxel], to_polynomial, polynomial)
        second_derivatives(polynomial, degree, second)
        number = 0
        for i in range(size):
            is_top = True
            for neighbour in neighbours[i]:
                if not is_top:
                    break
                is_top = row[neighbour] <= row[i]
            if is_top:
                values[number] = climb(
                    second, degree, grid[i, 0], grid[i, 1], grid[i, 2], longest_step, flatness * contrast, powers,
                    found[number],
                )  # fmt: skip
                number += not np.isnan(values[number])
        _choose(found, values, number, count, relative, absolute, cosine, directions[voxel], amplitudes[voxel])
