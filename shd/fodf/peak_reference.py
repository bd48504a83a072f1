"""The peaks of one fODF by the definition: slow, without derivatives or compiled code; the oracle of `find_peaks`."""

import numpy as np
from jaxtyping import Bool, Float

from shd.fodf.peaks import FLATNESS, Peaks, peak_grid
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["climb_without_derivatives", "reference_peaks"]

WIDEST, FINEST = 0.08, 1e-5  # radians: the rings looked around on, first the grid's spacing, last 0.0006°
AROUND = np.stack([np.cos(np.arange(9) * np.pi / 4.5), np.sin(np.arange(9) * np.pi / 4.5)], axis=-1)


def reference_peaks(
    coefficients: Float[np.ndarray, " coeff"],
    *,
    count: int = 5,
    relative_threshold: float = 0.1,
    absolute_threshold: float = 0.0,
    separation_degrees: float = 8.0,
) -> Peaks:
    """Return the peaks of one fODF, with the meaning and the arguments of `find_peaks`.

    Climbs from every grid direction not below its neighbours, then takes the strict maxima in falling order.
    """
    weights, degree = coefficients.astype(np.float64), degree_of_count(len(coefficients))
    grid, neighbours = peak_grid()
    heights = even_harmonics(grid, degree) @ weights
    contrast = np.ptp(heights)
    tops = (heights[neighbours] <= heights[:, None]).all(axis=1) & (contrast > FLATNESS * np.abs(heights).max())
    maxima, heights = climb_without_derivatives(weights, grid[tops])
    strict = _is_strict(weights, maxima, heights, contrast)
    falling = np.argsort(-heights[strict], kind="stable")
    maxima, heights = maxima[strict][falling], heights[strict][falling]
    directions, amplitudes = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    found = 0
    for maximum, height in zip(maxima, heights, strict=True):
        apart = np.abs(directions[:found] @ maximum) < np.cos(np.radians(separation_degrees))
        high = height > absolute_threshold and height >= relative_threshold * heights[0]
        if found < count and high and apart.all():
            directions[found], amplitudes[found] = maximum if maximum[2] >= 0 else -maximum, height
            found += 1
    return Peaks(directions, amplitudes)


def climb_without_derivatives(
    weights: Float[np.ndarray, " coeff"], starts: Float[np.ndarray, "top 3"], widest: float = WIDEST
) -> tuple[Float[np.ndarray, "top 3"], Float[np.ndarray, " top"]]:
    """Return the maxima above unit vectors, and their heights.

    Looks around on a ring of `widest` radians and moves to its best place, or else halves the ring, down to 1e-5.
    """
    degree = degree_of_count(len(weights))
    here, heights = starts, even_harmonics(starts, degree) @ weights
    radius = np.full(len(starts), widest)
    while (radius > FINEST).any():
        around = _ring(here, radius)
        values = (even_harmonics(around.reshape(-1, 3), degree) @ weights).reshape(len(here), -1)
        better = values.max(axis=1) > heights
        best = np.take_along_axis(around, values.argmax(axis=1)[:, None, None], axis=1)[:, 0]
        here, heights = np.where(better[:, None], best, here), np.where(better, values.max(axis=1), heights)
        radius = np.where(better, radius, radius / 2)
    return here, heights


def _is_strict(
    weights: Float[np.ndarray, " coeff"],
    maxima: Float[np.ndarray, "top 3"],
    heights: Float[np.ndarray, " top"],
    contrast: float,
) -> Bool[np.ndarray, " top"]:
    """Return where the function falls away all round: its fall at a small distance is a + b·cos 2(φ − φ₀), a > b."""
    near = 3e-4
    around = _ring(maxima, np.full(len(maxima), near)).reshape(-1, 3)
    fall = heights[:, None] - (even_harmonics(around, degree_of_count(len(weights))) @ weights).reshape(len(maxima), -1)
    waves = np.abs(np.fft.rfft(fall, axis=1)) / len(AROUND)
    return waves[:, 0] - 2 * waves[:, 2] > FLATNESS * contrast * near**2 / 2


def _ring(centres: Float[np.ndarray, "top 3"], radius: Float[np.ndarray, " top"]) -> Float[np.ndarray, "top around 3"]:
    """Return nine directions at an angle `radius` from each unit vector."""
    tangents = np.linalg.svd(centres[:, None])[2][:, 1:]
    return np.cos(radius)[:, None, None] * centres[:, None] + np.sin(radius)[:, None, None] * (AROUND @ tangents)
