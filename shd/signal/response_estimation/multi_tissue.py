"""Responses of white matter, grey matter and CSF from several shells, by anisotropy and signal decay.

Sources: Dhollander, Raffelt and Connelly, ISMRM Workshop on Breaking the Barriers of Diffusion MRI (2016), 5; and, for
the single-fibre voxels, Dhollander, Mito, Raffelt and Connelly, Proc. ISMRM 27 (2019), 555. Fractions are MRtrix3's.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shd.errors import ResponseError
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.signal.response_estimation.bimodal import upper_group
from shd.signal.response_estimation.deconvolution import nonnegative_fit
from shd.signal.response_estimation.fibre_peaks import largest_axis, refined_largest_peak
from shd.signal.response_estimation.tensor import anisotropy_and_direction
from shd.signal.response_estimation.zonal_fit import fit_response
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import coefficient_count, even_harmonics, zonal_factors

__all__ = ["TissueVoxels", "estimate_multi_tissue", "segment", "signal_decay"]

WHITE_MATTER_FA = 0.2
CHOSEN_FRACTION = {"wm": 0.005, "gm": 0.02, "csf": 0.1}
"""Part of each refined tissue whose voxels make the response."""
FEWEST_VOXELS = 3
"""But not fewer: the fractions are of a whole brain, and of a crop would be a single voxel, or none."""
_LARGEST_DECAY = 10.0
_BLOCK = 16_384  # voxels whose signal is copied at a time


class TissueVoxels(NamedTuple):
    """Rows of the signal in each tissue, as far as they are beyond doubt."""

    wm: Int[np.ndarray, " white"]
    gm: Int[np.ndarray, " grey"]
    csf: Int[np.ndarray, " fluid"]


def signal_decay(signal: Float[np.ndarray, "voxel volume"], gradients: Gradients) -> Float[np.ndarray, " voxel"]:
    """Return ln(S_0/S_b), S being shell means, averaged over the shells with their numbers of volumes as weights.

    At most 10; NaN where a shell's mean is not positive. Negative signals count as zero.
    """
    means = np.stack([np.maximum(signal[:, shell.volumes], 0).mean(axis=1) for shell in gradients.shells])
    usable = np.all(np.isfinite(means) & (means > 0), axis=0)
    logarithms = np.log(np.where(usable, means, 1.0))
    sizes = np.array([len(shell.volumes) for shell in gradients.shells[1:]])
    decay = np.average(logarithms[0] - logarithms[1:], axis=0, weights=sizes)
    return np.where(usable, np.minimum(decay, _LARGEST_DECAY), np.nan)


def segment(decay: Float[np.ndarray, " voxel"], anisotropy: Float[np.ndarray, " voxel"]) -> TissueVoxels:
    """Return the rows of each tissue: first crudely, then without outliers and partial volume.

    White matter is FA > 0.2 without decays more than 2 robust standard deviations above its median. Of the rest, CSF is
    the upper of two groups by decay. Grey matter keeps the groups next to its median on both sides;
    CSF takes back white matter's outliers, and keeps its own upper group. Decay must be finite.
    """
    is_white = anisotropy > WHITE_MATTER_FA
    rest = np.flatnonzero(~is_white)
    fluid = rest[upper_group(decay[rest])]
    grey = np.setdiff1d(rest, fluid, assume_unique=True)

    white = np.flatnonzero(is_white)
    if white.size:
        median = np.median(decay[white])
        spread = 1.4826 * np.median(np.abs(decay[white] - median))
        outlying = white[decay[white] > median + 2 * spread]
        white = np.setdiff1d(white, outlying, assume_unique=True)
        if fluid.size:
            fluid = np.union1d(fluid, outlying[decay[outlying] > decay[fluid].min()])
    if grey.size:
        median = np.median(decay[grey])
        high, low = grey[decay[grey] > median], grey[decay[grey] <= median]
        grey = np.union1d(high[~upper_group(decay[high])], low[~upper_group(-decay[low])])
    if fluid.size:
        fluid = fluid[upper_group(decay[fluid])]
    return TissueVoxels(white, grey, fluid)


def _chosen_count(tissue: str, available: int) -> int:
    """Return how many of a tissue's voxels make its response."""
    return max(round(CHOSEN_FRACTION[tissue] * available), min(FEWEST_VOXELS, available))


def fibre_likeness(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients, csf: Response, mean_signal: float, degree: int
) -> Float[np.ndarray, " voxel"]:
    """Return the fODF's largest amplitude over the sum of the l=0 coefficients of fODF and CSF.

    The fODF is fitted, together with CSF, by the sharpest response that has the mean signal at every shell: zonal
    coefficients 1, −1, 1, −1 times it, and none but l=0 at b=0. Voxels with one coherent, thick bundle and no free
    water score highest, without any response of white matter being known. Source: Dhollander et al. (2019).
    """
    design = np.zeros((signal.shape[1], coefficient_count(degree) + 1))
    level = mean_signal * np.sqrt(4 * np.pi)
    for row, shell in enumerate(gradients.shells):
        sharpest = level * np.array([1.0, -1.0, 1.0, -1.0]) if row else np.array([level])
        directions = gradients.directions[shell.volumes] if row else np.tile([0.0, 0.0, 1.0], (len(shell.volumes), 1))
        design[shell.volumes, :-1] = even_harmonics(directions, degree) * zonal_factors(sharpest, degree)
        design[shell.volumes, -1] = csf.coefficients[row, 0]
    constraints = np.zeros((301, design.shape[1]))
    constraints[:300, :-1] = even_harmonics(half_sphere(300), degree)
    constraints[300, -1] = 1.0
    weight = float(np.trace(design.T @ design))
    fitted = nonnegative_fit(signal, design, constraints, penalty=100 * weight, damping=1e-10 * weight)
    fodf = fitted[:, :-1]
    peak = refined_largest_peak(fodf, largest_axis(fodf))[0]
    total = fodf[:, 0] + fitted[:, -1]
    return np.divide(peak, total, out=np.zeros_like(peak), where=total > 0)


def estimate_multi_tissue(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients, rows: Int[np.ndarray, " chosen"] | None = None
) -> tuple[tuple[Response, Response, Response], TissueVoxels]:
    """Return the responses of white matter, grey matter and CSF, and the rows each was made of.

    CSF's voxels are those that decay most, grey matter's those nearest to its median decay. White matter's are found in
    two rounds of `fibre_likeness`: twice the number at degree 2, and of these the number itself at degree 6. rows:
    those of the signal to look at, by default all; few of them are copied at a time.

    Raises: ResponseError if one of the tissues has no voxel.
    """
    rows = np.arange(len(signal)) if rows is None else rows
    decay = _by_blocks(signal, rows, partial(signal_decay, gradients=gradients))
    usable = np.isfinite(decay)
    rows, decay = rows[usable], decay[usable]
    anisotropy, directions = anisotropy_and_direction(signal, gradients, rows)
    tissues = segment(decay, anisotropy)
    if min(map(len, tissues)) < 1:
        counts = ", ".join(f"{len(some)} {name}" for name, some in zip(tissues._fields, tissues, strict=True))
        raise ResponseError(
            f"responses: of {len(rows)} voxels only {counts} can be told apart by FA > {WHITE_MATTER_FA} and signal "
            "decay; give the responses as files, or a mask with all three tissues"
        )
    fluid = tissues.csf[np.argsort(-decay[tissues.csf], kind="stable")[: _chosen_count("csf", len(tissues.csf))]]
    csf = fit_response("csf", signal[rows[fluid]], gradients)
    offset = np.abs(decay[tissues.gm] - np.median(decay[tissues.gm]))
    grey = tissues.gm[np.argsort(offset, kind="stable")[: _chosen_count("gm", len(tissues.gm))]]
    gm = fit_response("gm", signal[rows[grey]], gradients)
    white, count = tissues.wm, _chosen_count("wm", len(tissues.wm))
    mean_signal = float(np.median(_by_blocks(signal, rows[white], lambda some: some.mean(axis=1))))
    for degree, kept in ((2, 2 * count), (6, count)):
        likeness = partial(fibre_likeness, gradients=gradients, csf=csf, mean_signal=mean_signal, degree=degree)
        found = _by_blocks(signal, rows[white], likeness)
        white = white[np.argsort(-found, kind="stable")[:kept]]
    wm = fit_response("wm", signal[rows[white]], gradients, directions[white])
    return (wm, gm, csf), TissueVoxels(rows[white], rows[grey], rows[fluid])


def _by_blocks(
    signal: Float[np.ndarray, "voxel volume"],
    rows: Int[np.ndarray, " chosen"],
    value: Callable[[Float[np.ndarray, "some volume"]], Float[np.ndarray, " some"]],
) -> Float[np.ndarray, " chosen"]:
    """Return the values of rows of the signal, which is copied some rows at a time."""
    starts = range(0, max(1, len(rows)), _BLOCK)
    return np.concatenate([value(signal[rows[start : start + _BLOCK]]) for start in starts])
