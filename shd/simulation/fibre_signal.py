"""How the harmonics of a voxel's fibres become its signal, at the degree that this takes."""

import numpy as np
from jaxtyping import Float
from scipy.special import eval_legendre

from shd.errors import SimulationError
from shd.signal.gradients import Gradients
from shd.simulation.tissues import B0_INTENSITY, Fibre, fibre_response
from shd.sphere.harmonics import coefficient_count, even_harmonics, zonal_factors

__all__ = ["ACCURACY", "FOD_DEGREE", "harmonic_recurrence", "sufficient_degree", "volume_responses"]

FOD_DEGREE = 12  # of the true fODFs kept
ACCURACY = 1e-6  # largest error of a signal, as a share of b=0: noise at SNR 1000 is a thousand times more
_HIGHEST_DEGREE = 60  # at b·d = 40: the quadrature of the coefficients ends there


def sufficient_degree(fibres: tuple[Fibre, ...], bvalue: float) -> int:
    """Return the even degree, at least 12, at which the series of every fibre's signal is right to `ACCURACY`.

    By comparison with the signal itself at 501 angles. bvalue: the highest, s/mm². Raises SimulationError for a b-value
    beyond what degree 60 holds.
    """
    cosines = np.linspace(0.0, 1.0, 501)
    degrees = np.arange(0, _HIGHEST_DEGREE + 1, 2)
    zonal = np.sqrt((2 * degrees + 1) / (4 * np.pi)) * eval_legendre(degrees, cosines[:, None])
    needed = FOD_DEGREE
    for fibre in fibres:
        terms = zonal * fibre_response(fibre, bvalue, _HIGHEST_DEGREE)
        exact = fibre.signal(np.full_like(cosines, bvalue), cosines)
        errors = np.abs(np.cumsum(terms, axis=1) - exact[:, None]).max(axis=0)
        enough = np.flatnonzero(errors <= ACCURACY * B0_INTENSITY)
        if len(enough) == 0:
            raise SimulationError(
                f"b = {bvalue:.0f} s/mm² along {fibre.parallel:g} mm²/s needs harmonics beyond degree "
                f"{_HIGHEST_DEGREE}; give lower b-values or diffusivities"
            )
        needed = max(needed, int(degrees[enough[0]]))
    return needed


def volume_responses(
    fibres: tuple[Fibre, ...], gradients: Gradients, degree: int
) -> Float[np.ndarray, "fibre coeff volume"]:
    """Return what each harmonic of the fibres' distribution adds to the signal of each volume, by the exact b-values.

    The signal of fibres with distribution Σ c_lm Y_lm is Σ c_lm Y_lm(g) √(4π/(2l+1)) r_l(b) at gradient g.
    """
    result = np.zeros((len(fibres), coefficient_count(degree), len(gradients.bvalues)))
    harmonics = even_harmonics(gradients.directions, degree)
    for number, fibre in enumerate(fibres):
        for bvalue in np.unique(gradients.bvalues):
            volumes = np.flatnonzero(gradients.bvalues == bvalue)
            row = fibre_response(fibre, float(bvalue), degree)
            if not gradients.directions[volumes].any():
                row[1:] = 0.0  # b=0 has no direction
            result[number][:, volumes] = (harmonics[volumes] * zonal_factors(row, degree)).T
    return result


def harmonic_recurrence(
    degree: int,
) -> tuple[Float[np.ndarray, "degree order"], Float[np.ndarray, "degree order"], Float[np.ndarray, " order"]]:
    """Return the factors a_lm, b_lm and the first terms p_m of the normalised Legendre functions' recurrence over l.

    p_lm = a_lm (z p_{l−1,m} − b_lm p_{l−2,m}), p_mm = p_m: Holmes and Featherstone, Journal of Geodesy 76 (2002), eq.
    11 and 12, without the factor sin^m of the polar angle, normalised and signed as `even_harmonics` (√2 for m > 0).
    """
    l, m = np.arange(degree + 1.0)[:, None], np.arange(degree + 1.0)[None, :]
    above = l > m
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(above, np.sqrt((4 * l**2 - 1) / (l**2 - m**2)), 0.0)
        back = np.where(above & (l > 1), np.sqrt(((l - 1) ** 2 - m**2) / (4 * (l - 1) ** 2 - 1)), 0.0)
    orders = np.arange(1.0, degree + 1)
    first = np.concatenate([[1.0], np.cumprod(-np.sqrt((2 * orders + 1) / (2 * orders)))]) / np.sqrt(4 * np.pi)
    first[1:] *= np.sqrt(2.0)
    return np.nan_to_num(up), np.nan_to_num(back), first
