"""Which of the peaks found are which of the true fibres, voxel by voxel.

The protocol of the published evaluation (Elaldi et al., NeurIPS 2024, as earlier Daducci et al., IEEE TMI 33 (2014)):
a peak and a fibre match when each is the other's nearest and they are less than 25° apart.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from shd.sphere.directions import axial_angle, normalised

__all__ = ["MATCH_ANGLE", "PeakMatches", "match_peaks", "merge_fibres"]

# Degrees. Fibres closer than this cannot both be matched reliably, so truth is merged at the same angle.
MATCH_ANGLE = 25.0


@dataclass(frozen=True, eq=False)
class PeakMatches:
    """The outcome in each voxel.

    true_count, found_count, matched: numbers of merged fibres, of peaks, of matching pairs. errors: degrees from each
    true fibre to the nearest peak, 90 where no peak was found, NaN where there is no fibre. crossing_angle: degrees
    between the fibres of voxels that hold exactly two, NaN elsewhere.
    """

    true_count: Int[np.ndarray, " voxel"]
    found_count: Int[np.ndarray, " voxel"]
    matched: Int[np.ndarray, " voxel"]
    errors: Float[np.ndarray, "voxel fibre"]
    crossing_angle: Float[np.ndarray, " voxel"]

    def select(self, voxels: Bool[np.ndarray, " voxel"]) -> "PeakMatches":
        """Return the outcome in some of the voxels."""
        return PeakMatches(
            self.true_count[voxels],
            self.found_count[voxels],
            self.matched[voxels],
            self.errors[voxels],
            self.crossing_angle[voxels],
        )


def merge_fibres(
    directions: Float[np.ndarray, "voxel fibre 3"], fractions: Float[np.ndarray, "voxel fibre"]
) -> tuple[Float[np.ndarray, "voxel fibre 3"], Float[np.ndarray, "voxel fibre"]]:
    """Return directions and fractions with fibres closer than 25° merged, the closest pair first.

    The merged fibre has the sum of the fractions and the mean axis weighted by them; the place of the other is left
    at zero. Without this even the true fODF fails on fans and kissing bundles, whose fibres no method can tell apart.

    directions: unit vectors of either sign; fibres of fraction 0 are absent.
    """
    directions, fractions = directions.astype(np.float64), fractions.astype(np.float64)
    count = fractions.shape[1]
    first, second = np.triu_indices(count, k=1)
    for _ in range(count - 1):
        present = (fractions[:, first] > 0) & (fractions[:, second] > 0)
        angles = np.where(present, axial_angle(directions[:, first], directions[:, second]), np.inf)
        pair = angles.argmin(axis=1)
        rows = np.flatnonzero(angles.min(axis=1) < MATCH_ANGLE)
        keep, drop = first[pair[rows]], second[pair[rows]]
        a, b = directions[rows, keep], directions[rows, drop]
        sign = np.where(np.sum(a * b, axis=-1, keepdims=True) < 0, -1.0, 1.0)
        weighted = fractions[rows, keep, None] * a + fractions[rows, drop, None] * sign * b
        directions[rows, keep] = normalised(weighted)
        fractions[rows, keep] += fractions[rows, drop]
        directions[rows, drop], fractions[rows, drop] = 0.0, 0.0
    return directions, fractions


def match_peaks(
    found_directions: Float[np.ndarray, "voxel peak 3"],
    found_amplitudes: Float[np.ndarray, "voxel peak"],
    true_directions: Float[np.ndarray, "voxel fibre 3"],
    true_fractions: Float[np.ndarray, "voxel fibre"],
    *,
    relative_threshold: float = 0.1,
    minimum_fraction: float = 0.1,
) -> PeakMatches:
    """Return the matches between peaks and fibres of each voxel.

    found_amplitudes: peaks count from `relative_threshold` times the voxel's largest; those not above zero, or NaN,
    are absent. true_fractions: fibres count, once merged, from `minimum_fraction`. Directions: unit vectors of either
    sign, both in one frame.
    """
    true_directions, true_fractions = merge_fibres(true_directions, true_fractions)
    true = (true_fractions >= minimum_fraction) & (true_fractions > 0)
    amplitudes = np.nan_to_num(found_amplitudes)
    largest = amplitudes.max(axis=1, keepdims=True, initial=0.0)
    found = (amplitudes > 0) & (amplitudes >= relative_threshold * largest)

    angles = axial_angle(true_directions[:, :, None, :], np.nan_to_num(found_directions)[:, None, :, :])
    angles = np.where(true[:, :, None] & found[:, None, :], angles, np.inf)
    nearest_peak = angles == angles.min(axis=2, keepdims=True, initial=np.inf)
    nearest_fibre = angles == angles.min(axis=1, keepdims=True, initial=np.inf)
    matched = (nearest_peak & nearest_fibre & (angles < MATCH_ANGLE)).sum(axis=(1, 2))

    errors = angles.min(axis=2, initial=np.inf)
    errors = np.where(true, np.where(np.isinf(errors), 90.0, errors), np.nan)
    return PeakMatches(
        true.sum(axis=1), found.sum(axis=1), matched, errors, _crossing_angles(true_directions, true)
    )


def _crossing_angles(
    directions: Float[np.ndarray, "voxel fibre 3"], true: Bool[np.ndarray, "voxel fibre"]
) -> Float[np.ndarray, " voxel"]:
    """Return the angle between the two fibres of the voxels that hold two, NaN elsewhere."""
    angles = np.full(len(true), np.nan)
    two = true.sum(axis=1) == 2
    pairs = directions[two][true[two]].reshape(-1, 2, 3)
    angles[two] = axial_angle(pairs[:, 0], pairs[:, 1])
    return angles
