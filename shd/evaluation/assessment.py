"""Every score of one result against the truth, over all voxels and in groups of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import EvaluationError
from shd.evaluation.error_map import ErrorMap, error_map
from shd.evaluation.fod_distance import angular_correlation, jensen_shannon
from shd.evaluation.peak_matching import MATCH_ANGLE, PeakMatches
from shd.evaluation.phantom_scores import pair_with_truth, scored_peaks
from shd.evaluation.threshold_sweep import THRESHOLDS, ThresholdSweep, check_threshold, sweep_matches
from shd.evaluation.tissue_scores import tissue_errors
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.fodf.peaks import Peaks

__all__ = ["ALL", "CEILING", "CROSSING_ANGLES", "Assessment", "Group", "assess_ceiling", "assess_fods", "assess_peaks"]

ALL = "all"
"""The group of all scored voxels."""

CEILING = "ceiling"
"""The row that every table has: the true fODF, smoothed to what an output can show, through the same peak finder."""

CROSSING_ANGLES = (MATCH_ANGLE, 35.0, 45.0, 60.0, 75.0, 90.0)
"""Edges in degrees of the groups of two-fibre voxels; fibres closer than the first are merged."""


@dataclass(frozen=True, eq=False)
class Group:
    """The scores over some of the scored voxels.

    sweep: peak scores at every threshold. angular_correlation, jensen_shannon: of whole fODFs with the ceiling's, mean
    over the voxels, a voxel without an answer counting as 0 and 1; NaN where only peaks were given.
    """

    sweep: ThresholdSweep
    angular_correlation: float
    jensen_shannon: float


@dataclass(frozen=True, eq=False)
class Assessment:
    """The scores of one result.

    groups: "all", then "1 fibre", "2 fibres", …, then "25-35°", … of the two-fibre voxels, those that occur.
    tissue_errors: mean absolute error of each tissue's amount over the mask; empty where only peaks were given.
    threshold: the one of the error map. errors: where the result errs there.
    """

    name: str
    groups: dict[str, Group]
    tissue_errors: dict[str, float]
    threshold: float
    errors: ErrorMap


def assess_fods(name: str, fod: FodField, truth: Truth, *, threshold: float = 0.2) -> Assessment:
    """Return every score of a result's fODFs against the truth.

    threshold: share of the voxel's highest peak from which peaks count in the error map; it joins the thresholds of the
    published protocol, 0.05, 0.10, …, 0.95, where it is none of them. Raises EvaluationError for a result on another
    grid than the truth or a threshold out of range.
    """
    check_threshold(threshold)
    peaks = scored_peaks(fod.wm, truth, min(*THRESHOLDS, threshold))
    scored = truth.scored
    right, answer = truth.ceiling()[scored], fod.wm[scored]
    # A voxel without an answer is wrong, not unknown.
    distances = np.stack(
        [
            np.nan_to_num(angular_correlation(answer, right), nan=0.0),
            np.nan_to_num(jensen_shannon(answer, right), nan=1.0),
        ]
    )
    return _assessment(name, peaks, distances, tissue_errors(fod, truth), truth, threshold)


def assess_ceiling(truth: Truth, *, threshold: float = 0.2) -> Assessment:
    """Return the scores of the true fODF itself: what no method can exceed but by luck."""
    fractions = np.moveaxis(truth.tissue_fractions[..., 1:], -1, 0) / np.sqrt(4 * np.pi)
    isotropic = dict(zip(("gm", "csf"), fractions, strict=True))
    field = FodField(truth.ceiling(), isotropic, truth.affine, truth.mask)
    return assess_fods(CEILING, field, truth, threshold=threshold)


def assess_peaks(name: str, peaks: Peaks, truth: Truth, *, threshold: float = 0.2) -> Assessment:
    """Return the scores that peaks alone allow; `peaks` lie on the truth's grid, in scanner axes.

    Peaks below the lowest threshold in which they were found count as not found at all. Raises EvaluationError as
    `assess_fods`.
    """
    check_threshold(threshold)
    scored = truth.scored
    if peaks.amplitudes.shape[:3] != scored.shape:
        raise EvaluationError(
            f"{name}: peaks on a grid of {peaks.amplitudes.shape[:3]} but truth on {scored.shape}; compare images of "
            "one grid"
        )
    inside = Peaks(peaks.directions[scored], peaks.amplitudes[scored])
    return _assessment(name, inside, np.full((2, int(scored.sum())), np.nan), {}, truth, threshold)


def _assessment(
    name: str,
    peaks: Peaks,
    distances: Float[np.ndarray, "distance voxel"],
    tissues: dict[str, float],
    truth: Truth,
    threshold: float,
) -> Assessment:
    if not truth.scored.any():
        raise EvaluationError(
            f"0 of {truth.mask.sum()} voxels of the truth are more than half white matter: there is nothing to score"
        )
    pairs = pair_with_truth(peaks, truth)
    matches = {value: pairs.at(value) for value in sorted({*THRESHOLDS, threshold})}
    groups = {
        group: Group(sweep_matches(matches, voxels), *distances[:, voxels].mean(axis=1).tolist())
        for group, voxels in _groups(matches[threshold])
    }
    return Assessment(name, groups, tissues, threshold, error_map(matches[threshold], truth.scored))


def _groups(matches: PeakMatches) -> Iterator[tuple[str, Bool[np.ndarray, " voxel"]]]:
    """Give name and voxels of every group that is not empty; they depend on the truth alone."""
    yield ALL, np.ones(len(matches.true_count), dtype=bool)
    for count in np.unique(matches.true_count):
        yield f"{count} fibre{'s' if count != 1 else ''}", matches.true_count == count
    angle = matches.crossing_angle
    for low, high in pairwise(CROSSING_ANGLES):
        inside = (angle >= low) & ((angle < high) | (high == CROSSING_ANGLES[-1]))
        if inside.any():
            yield f"{low:g}-{high:g}°", inside
