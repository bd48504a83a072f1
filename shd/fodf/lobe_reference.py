"""The lobes of one fODF by the definition, flooded from the top: slow, without compiled code; oracle of `fixels_of`."""

import numpy as np
from jaxtyping import Float

from shd.fodf.lobes import SAME_PEAK, Fixels, solid_angles
from shd.fodf.peak_reference import climb_without_derivatives
from shd.fodf.peaks import peak_grid
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["reference_fixels"]

NARROW = 0.01  # radians: a wider ring would step over the brim of a shallow lobe into its neighbour


def reference_fixels(
    coefficients: Float[np.ndarray, " coeff"], *, amplitude_threshold: float = 0.1, afd_threshold: float = 0.0
) -> Fixels:
    """Return the lobes of one fODF, with the meaning and the arguments of `fixels_of`.

    Takes the positive directions from the highest down; each joins the lobe of its highest neighbour, or starts one.
    """
    grid, neighbours = peak_grid()
    values = even_harmonics(grid, degree_of_count(len(coefficients))) @ coefficients.astype(np.float64)
    lobe = np.full(len(grid), -1)
    tops: list[int] = []
    for here in np.argsort(-values, kind="stable"):
        if values[here] <= 0:
            break
        flooded = [other for other in neighbours[here] if lobe[other] >= 0]
        if flooded:
            lobe[here] = lobe[max(flooded, key=lambda other: values[other])]
        else:
            lobe[here] = len(tops)
            tops.append(here)
    peaks, heights = climb_without_derivatives(coefficients.astype(np.float64), grid[tops], NARROW)
    first = (np.abs(peaks @ peaks.T) >= SAME_PEAK).argmax(axis=1)  # tops that climbed to one peak make one lobe
    rows = []
    for k in np.unique(first):
        share = np.where((lobe >= 0) & (first[lobe] == k), values * solid_angles(), 0.0)
        mean = (share * np.sign(grid @ peaks[k])) @ grid
        sign = 1.0 if peaks[k, 2] >= 0 else -1.0
        if heights[k] >= amplitude_threshold and share.sum() >= afd_threshold:
            rows.append([*(sign * mean / np.linalg.norm(mean)), *(sign * peaks[k]), share.sum(), heights[k]])
    table = np.array(sorted(rows, key=lambda row: -row[6]), np.float32).reshape(-1, 8)
    return Fixels(np.array([0, len(table)]), table[:, :3], table[:, 3:6], table[:, 6], table[:, 7])
