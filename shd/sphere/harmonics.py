"""Real, even, orthonormal spherical harmonics in the MRtrix3 basis: the one basis used inside shd.

Y_lm = √2·Im Y_l^|m| for m < 0, Y_l^0, √2·Re Y_l^m for m > 0, with the Condon-Shortley sign; polar angle from +z,
azimuth from +x; coefficient (l, m) stands at index l(l+1)/2 + m. It is DIPY's `tournier07` with `legacy=False`.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, lpmv

__all__ = [
    "coefficient_count",
    "coefficient_degrees",
    "degree_of_count",
    "even_harmonics",
    "gaussian_factors",
    "harmonic_fit_matrix",
    "highest_degree_for",
    "zonal_factors",
]


def coefficient_count(degree: int) -> int:
    """Return (L+1)(L+2)/2, the number of even harmonics up to an even degree L."""
    if degree < 0 or degree % 2:
        raise ValueError(f"degree {degree}: even harmonics need an even degree of 0 or more")
    return (degree + 1) * (degree + 2) // 2


def degree_of_count(count: int) -> int:
    """Return the even degree L whose (L+1)(L+2)/2 coefficients are `count`."""
    degree = round((np.sqrt(8 * count + 1) - 3) / 2)
    if degree < 0 or degree % 2 or coefficient_count(degree) != count:
        raise ValueError(f"{count} coefficients: even harmonics have 1, 6, 15, 28, 45, 66, 91, ... coefficients")
    return int(degree)


def highest_degree_for(directions: int, limit: int) -> int:
    """Return the highest even degree, at most `limit`, with no more coefficients than directions."""
    degree = 0
    while degree + 2 <= limit and coefficient_count(degree + 2) <= directions:
        degree += 2
    return degree


def coefficient_degrees(degree: int) -> Int[np.ndarray, " coeff"]:
    """Return the degree l of each coefficient of an expansion up to `degree`."""
    return np.concatenate([np.full(2 * l + 1, l) for l in range(0, degree + 1, 2)])


def gaussian_factors(degree: int, width_degrees: float) -> Float[np.ndarray, " coeff"]:
    """Return exp(−σ²l(l+1)/2) of each coefficient up to `degree`: they spread a direction to a Gaussian of width σ."""
    order = coefficient_degrees(degree)
    return np.exp(-0.5 * np.radians(width_degrees) ** 2 * order * (order + 1))


def even_harmonics(directions: Float[np.ndarray, "direction 3"], degree: int) -> Float[np.ndarray, "direction coeff"]:
    """Return Y_lm at unit vectors, for even l up to `degree`, in the MRtrix3 basis.

    The frame of the coefficients is the frame of `directions`. Source: Tournier et al., NeuroImage 35 (2007), with
    MRtrix3's ordering and normalisation; the values equal those of MRtrix's `sh2amp`.
    """
    directions = np.asarray(directions, dtype=np.float64)
    cos_polar = np.clip(directions[:, 2], -1.0, 1.0)
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    columns = np.empty((len(directions), coefficient_count(degree)))
    for l in range(0, degree + 1, 2):
        centre = l * (l + 1) // 2
        for m in range(l + 1):
            norm = np.sqrt((2 * l + 1) / (4 * np.pi) * np.exp(gammaln(l - m + 1) - gammaln(l + m + 1)))
            legendre = norm * lpmv(m, l, cos_polar)
            if m == 0:
                columns[:, centre] = legendre
            else:
                columns[:, centre + m] = np.sqrt(2) * legendre * np.cos(m * azimuth)
                columns[:, centre - m] = np.sqrt(2) * legendre * np.sin(m * azimuth)
    return columns


def harmonic_fit_matrix(
    directions: Float[np.ndarray, "direction 3"], degree: int, smoothness: float = 0.0
) -> Float[np.ndarray, "coeff direction"]:
    """Return the matrix that fits harmonic coefficients to samples at `directions` by least squares.

    With `smoothness` > 0 it minimises |Yc − s|² + smoothness·Σ l²(l+1)² c², the Laplace-Beltrami penalty of
    Descoteaux et al., Magn. Reson. Med. 58 (2007), eq. 12.
    """
    basis = even_harmonics(directions, degree)
    if smoothness == 0.0:
        return np.linalg.pinv(basis)
    l = coefficient_degrees(degree)
    penalty = smoothness * (l * (l + 1.0)) ** 2
    return np.linalg.solve(basis.T @ basis + np.diag(penalty), basis.T)


def zonal_factors(zonal: Float[np.ndarray, " even_degree"], degree: int) -> Float[np.ndarray, " coeff"]:
    """Return, per coefficient, the factor √(4π/(2l+1))·r_l by which convolution with a zonal function multiplies.

    `zonal` holds r_l for l = 0, 2, 4, …; degrees it does not hold count as zero. Source: Driscoll and Healy, Adv. Appl.
    Math. 15 (1994), theorem 1.
    """
    l = coefficient_degrees(degree)
    padded = np.zeros(degree // 2 + 1)
    padded[: min(len(zonal), len(padded))] = np.asarray(zonal, dtype=np.float64)[: len(padded)]
    return padded[l // 2] * np.sqrt(4 * np.pi / (2 * l + 1))
