"""White matter's response from one shell: single-fibre voxels chosen by deconvolution with an ever better response."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation

from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.signal.response_estimation.deconvolution import nonnegative_fit
from shd.signal.response_estimation.fibre_peaks import refined_largest_peak, two_largest_peaks
from shd.signal.response_estimation.zonal_fit import RESPONSE_DEGREE, fit_response
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import even_harmonics, zonal_factors

__all__ = ["FibreVoxels", "b0_coefficient", "estimate_single_shell", "single_fibre_voxels"]

FIBRE_VOXELS = 300
"""Voxels that make the response: Tournier et al. (2013) and dwi2response."""
LARGEST_FRACTION = 0.3
"""At most this part of the mask makes the response: in a small crop 300 voxels would be most of it."""
_ITERATIONS = 10
_FIRST_RESPONSE = np.array([1.0, -1.0, 1.0])
_FIRST_DEGREE = 4


class FibreVoxels(NamedTuple):
    """Rows of the signal that hold one fibre population, the best first, and its axis (scanner axes).

    The axis is known for the first `count` only; `rows` goes on to the next best.
    """

    rows: Int[np.ndarray, " ranked"]
    directions: Float[np.ndarray, "count 3"]


def single_fibre_voxels(
    signal: Float[np.ndarray, "voxel volume"],
    gradients: Gradients,
    zonal: Float[np.ndarray, " even_degree"],
    count: int,
) -> FibreVoxels:
    """Return all voxels, those that look most like one fibre first, when the highest shell is deconvolved by `zonal`.

    They are ranked by √a₁·(1 − a₂/a₁)², a₁ and a₂ being the amplitudes of the fODF's two largest peaks. The fODF is
    fitted to degree 8 or that of `zonal`. Its penalties relative to the response are those of Tournier et al.,
    NeuroImage 35 (2007), as MRtrix3 scales them: (r_0/6)² on each negative one of 300 amplitudes, and 2e-4 of the
    normal matrix's first element on the norm. Source: Tournier, Calamante and Connelly, NMR Biomed. 26 (2013).
    """
    shell = gradients.shells[-1]
    degree = min(2 * (len(zonal) - 1), RESPONSE_DEGREE)
    design = even_harmonics(gradients.directions[shell.volumes], degree) * zonal_factors(zonal, degree)
    fodf = nonnegative_fit(
        signal[:, shell.volumes],
        design,
        even_harmonics(half_sphere(300), degree),
        penalty=(zonal[0] / 6) ** 2,
        damping=2e-4 * float(design[:, 0] @ design[:, 0]),
    )
    peaks, axes = two_largest_peaks(fodf)
    first = np.maximum(peaks[:, 0], np.finfo(float).tiny)
    cost = np.sqrt(first) * (1 - peaks[:, 1] / first) ** 2
    rows = np.argsort(-cost, kind="stable")
    return FibreVoxels(rows, refined_largest_peak(fodf[rows[:count]], axes[rows[:count]])[1])


def estimate_single_shell(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients, mask: Bool[np.ndarray, "x y z"]
) -> tuple[Response, FibreVoxels]:
    """Return white matter's response from a scan of b=0 and one shell, and the voxels it was made of.

    Starting from the sharpest response there is, the most single-fibre-like voxels are chosen, their response is
    estimated, and the choice is repeated with it among ten times as many voxels and their face neighbours, until it no
    longer changes (at most 10 times). Source: Tournier, Calamante and Connelly, NMR Biomed. 26 (2013).
    """
    count = _fibre_voxel_count(len(signal))
    candidates = np.arange(len(signal))
    zonal, degree = _FIRST_RESPONSE, _FIRST_DEGREE
    before: set[int] = set()
    for _ in range(_ITERATIONS):
        found = single_fibre_voxels(signal[candidates], gradients, zonal, count)
        ranked = candidates[found.rows]
        chosen = FibreVoxels(ranked[:count], found.directions)
        response = fit_response("wm", signal[chosen.rows], gradients, chosen.directions, degree)
        now = set(chosen.rows.tolist())
        if now == before:
            break
        before, zonal, degree = now, response.coefficients[1], RESPONSE_DEGREE
        candidates = _with_neighbours(ranked[: 10 * count], mask)
    return response, chosen


def b0_coefficient(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients, zonal: Float[np.ndarray, " even_degree"]
) -> float:
    """Return the b=0 coefficient, √4π times the signal, that belongs to a shell's response measured without b=0.

    It is the mean over the voxels that are most single-fibre-like when deconvolved by that response, at degree 4.
    """
    count = _fibre_voxel_count(len(signal))
    rows = single_fibre_voxels(signal, gradients, zonal[: _FIRST_DEGREE // 2 + 1], count).rows[:count]
    return float(signal[rows][:, gradients.shells[0].volumes].mean(dtype=np.float64) * np.sqrt(4 * np.pi))


def _fibre_voxel_count(available: int) -> int:
    return max(1, min(FIBRE_VOXELS, round(LARGEST_FRACTION * available)))


def _with_neighbours(rows: Int[np.ndarray, " chosen"], mask: Bool[np.ndarray, "x y z"]) -> Int[np.ndarray, " more"]:
    """Return the rows and those of their face neighbours in the mask (rows are the mask's voxels in C order)."""
    chosen = np.zeros(np.count_nonzero(mask), dtype=bool)
    chosen[rows] = True
    grid = np.zeros(mask.shape, dtype=bool)
    grid[mask] = chosen
    return np.flatnonzero(binary_dilation(grid)[mask])
