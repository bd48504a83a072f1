"""Split-half agreement: do two halves of a scan's directions, deconvolved apart, show the same peaks?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import EvaluationError
from shd.evaluation.cross_validation import Method, with_volumes
from shd.evaluation.even_subsets import check_remaining, even_subsets
from shd.evaluation.peak_matching import PeakPairs
from shd.evaluation.threshold_sweep import check_threshold
from shd.fodf.peaks import Peaks, find_peaks
from shd.scans.scan import Scan
from shd.signal.response import Response
from shd.signal.response_estimation.tensor import anisotropy_and_direction
from shd.sphere.directions import axial_angle

__all__ = ["Agreement", "anisotropic_voxels", "peak_agreement", "split_half"]

_PEAKS = 5


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well the peaks of two halves agree.

    voxels: compared. main_angle: degrees from the highest peak of each half to the nearest peak of the other, mean of
    both ways, median over voxels (90 where a half has none); main_angle_mean: its mean. equal_counts: share of voxels
    with as many peaks in both halves. f1: matched share of all peaks of both halves (mutual nearest, within 25°).
    angles: the main angle voxel by voxel, NaN where none was compared.
    """

    voxels: int
    main_angle: float
    main_angle_mean: float
    equal_counts: float
    f1: float
    angles: Float[np.ndarray, "x y z"]


def split_half(
    method: Method,
    scan: Scan,
    responses: tuple[Response, ...],
    *,
    threshold: float = 0.2,
    voxels: Bool[np.ndarray, "x y z"] | None = None,
    on_half: Callable[[int], None] = lambda half: None,
) -> Agreement:
    """Return the agreement between the peaks of two halves of the scan.

    Both halves cover every shell evenly. They share no volume, but where there is a single b=0 volume both have it.
    responses: of the whole scan. threshold: share of a voxel's highest peak from which peaks count. voxels: to be
    compared, by default those of the mask with a fractional anisotropy from 0.2. on_half: told the number of each half
    before it begins.

    Raises EvaluationError where a half has fewer than 6 axes of a shell, no voxel is compared, or for a threshold out
    of range.
    """
    check_threshold(threshold)
    compared = anisotropic_voxels(scan) if voxels is None else voxels & scan.mask
    if not compared.any():
        raise EvaluationError(f"{scan.name}: 0 of {scan.mask.sum()} voxels hold fibres to compare; give another mask")
    b0 = scan.gradients.b0_volumes
    halves = []
    for half, volumes in enumerate(even_subsets(scan.gradients, 2)):
        check_remaining(scan.gradients, volumes)
        halves.append(np.sort(np.concatenate([volumes, b0[half::2] if len(b0) > 1 else b0])))
    found = []
    for half, volumes in enumerate(halves):
        on_half(half)
        fod = method(with_volumes(scan, volumes), responses)
        found.append(find_peaks(fod.wm[compared], count=_PEAKS, relative_threshold=threshold))
    return peak_agreement(found[0], found[1], compared)


def peak_agreement(first: Peaks, second: Peaks, voxels: Bool[np.ndarray, "x y z"]) -> Agreement:
    """Return the agreement of two sets of peaks, highest first, of the `voxels` (in C order). All peaks given count."""
    angles = axial_angle(
        first.directions[:, :, None, :].astype(np.float64), second.directions[:, None, :, :].astype(np.float64)
    )
    pairs = PeakPairs(
        angles,
        np.where(second.amplitudes > 0, 1.0, -1.0),
        first.amplitudes > 0,
        np.full(len(angles), np.nan),
    )
    matches = pairs.at(0.5)
    both = (first.amplitudes > 0)[:, :, None] & (second.amplitudes > 0)[:, None, :]
    angles = np.where(both, angles, 90.0)
    main = (angles[:, 0].min(axis=1) + angles[:, :, 0].min(axis=1)) / 2
    total = int(matches.found_count.sum() + matches.true_count.sum())
    volume = np.full(voxels.shape, np.nan)
    volume[voxels] = main
    return Agreement(
        voxels=len(main),
        main_angle=float(np.median(main)),
        main_angle_mean=float(main.mean()),
        equal_counts=float(np.mean(matches.found_count == matches.true_count)),
        f1=2 * int(matches.matched.sum()) / total if total else float("nan"),
        angles=volume,
    )


def anisotropic_voxels(scan: Scan, least: float = 0.2) -> Bool[np.ndarray, "x y z"]:
    """Return the voxels of the mask whose diffusion tensor has at least this fractional anisotropy.

    They hold fibres whatever the method to be judged says of them.
    """
    chosen = np.zeros(scan.shape, dtype=bool)
    anisotropy, _ = anisotropy_and_direction(scan.intensities(np.argwhere(scan.mask)), scan.gradients)
    chosen[scan.mask] = anisotropy >= least
    return chosen
