"""Lesions found and lesions invented: connected components of truth and prediction that overlap."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

__all__ = ["OVERLAP", "LesionScores", "lesion_scores"]

OVERLAP = 0.1
"""Share of a true lesion's voxels that have to be predicted for it to be found."""

_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)  # voxels that share a corner belong together


@dataclass(frozen=True)
class LesionScores:
    """lesions: connected components of the truth, by faces, edges and corners. found: those of which at least a share
    `overlap`, and one voxel, is predicted. predicted: components of the prediction. false: those without a single true
    voxel.
    """

    lesions: int
    found: int
    predicted: int
    false: int
    overlap: float

    @property
    def sensitivity(self) -> float:
        """The share of lesions found; 1 where there is none."""
        return self.found / self.lesions if self.lesions else 1.0

    def __add__(self, other: "LesionScores") -> "LesionScores":
        """Return the counts of two scans together."""
        return LesionScores(
            self.lesions + other.lesions, self.found + other.found, self.predicted + other.predicted,
            self.false + other.false, self.overlap,
        )  # fmt: skip


def lesion_scores(
    truth: Bool[np.ndarray, "x y z"], predicted: Bool[np.ndarray, "x y z"], overlap: float = OVERLAP
) -> LesionScores:
    """Return the counts of a scan. truth, predicted: voxels with the label. overlap: above 0, up to 1."""
    real, count = ndimage.label(truth, _NEIGHBOURS)
    made, guesses = ndimage.label(predicted, _NEIGHBOURS)
    sizes = np.bincount(real.ravel(), minlength=count + 1)[1:]
    hits = np.bincount(real[predicted], minlength=count + 1)[1:]
    touched = np.bincount(made[truth], minlength=guesses + 1)[1:]
    found = (hits >= 1) & (hits >= overlap * sizes)
    return LesionScores(int(count), int(found.sum()), int(guesses), int((touched == 0).sum()), overlap)
