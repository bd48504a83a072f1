"""How well probabilities of a label agree with where it is: ROC, precision and recall, Dice."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from shd.errors import EvaluationError

__all__ = ["Curves", "VoxelScores", "average_precision", "best_threshold", "curves", "dice", "voxel_scores"]

_POINTS = 2000  # of a curve that is drawn


@dataclass(frozen=True)
class VoxelScores:
    """Scores over voxels. voxels: that were scored; positives: of them with the label.

    roc_auc: area under the ROC curve; average_precision: Σ (R_n − R_{n−1}) P_n over all thresholds (scikit-learn's;
    chance is positives/voxels). dice: 2·both/(predicted + true) at probability 0.5; dice_at: at `threshold`, which was
    chosen on other subjects. dice_best: at the threshold best on these voxels themselves, a bound, not a result.
    """

    voxels: int
    positives: int
    roc_auc: float
    average_precision: float
    dice: float
    threshold: float
    dice_at: float
    dice_best: float


@dataclass(frozen=True, eq=False)
class Curves:
    """Points of the ROC curve (false against true positive rate) and of precision against recall, for drawing."""

    false_positive: Float[np.ndarray, " point"]
    true_positive: Float[np.ndarray, " point"]
    recall: Float[np.ndarray, " place"]
    precision: Float[np.ndarray, " place"]


def average_precision(truth: Bool[np.ndarray, " voxel"], chance: Float[np.ndarray, " voxel"]) -> float:
    """Return the area under precision against recall as a sum over thresholds. truth: at least one is true."""
    return float(average_precision_score(truth, chance))


def dice(truth: Bool[np.ndarray, " voxel"], predicted: Bool[np.ndarray, " voxel"]) -> float:
    """Return 2·both/(predicted + true); 1 where there is neither."""
    total = int(truth.sum()) + int(predicted.sum())
    return 2.0 * int((truth & predicted).sum()) / total if total else 1.0


def best_threshold(truth: Bool[np.ndarray, " voxel"], chance: Float[np.ndarray, " voxel"]) -> tuple[float, float]:
    """Return the threshold from which on a voxel is taken for the best Dice, and that Dice; all thresholds are tried.

    Without a true voxel 0.5 and the Dice there.
    """
    if not truth.any():
        return 0.5, dice(truth, chance >= 0.5)
    order = np.argsort(-chance, kind="stable")
    hits, values = np.cumsum(truth[order]), chance[order]
    last = np.append(values[1:] != values[:-1], True)  # equal probabilities fall on one side together
    scores = 2.0 * hits / (np.arange(1, len(truth) + 1) + hits[-1])
    place = int(np.argmax(np.where(last, scores, -1.0)))
    return float(values[place]), float(scores[place])


def voxel_scores(
    truth: Bool[np.ndarray, " voxel"], chance: Float[np.ndarray, " voxel"], threshold: float
) -> VoxelScores:
    """Return the scores of probabilities.

    truth: whether each voxel has the label. threshold: chosen on other subjects. Raises EvaluationError where all
    voxels, or none, have the label, since no curve is defined then.
    """
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        raise EvaluationError(
            f"{positives} of {len(truth)} voxels have the label; ROC and precision need voxels with and without it"
        )
    return VoxelScores(
        len(truth),
        positives,
        float(roc_auc_score(truth, chance)),
        average_precision(truth, chance),
        dice(truth, chance >= 0.5),
        threshold,
        dice(truth, chance >= threshold),
        best_threshold(truth, chance)[1],
    )


def curves(truth: Bool[np.ndarray, " voxel"], chance: Float[np.ndarray, " voxel"]) -> Curves:
    """Return the two curves, thinned to what a picture shows."""
    false_positive, true_positive, _ = roc_curve(truth, chance)
    precision, recall, _ = precision_recall_curve(truth, chance)
    return Curves(*map(_thinned, (false_positive, true_positive, recall, precision)))


def _thinned(values: Float[np.ndarray, " point"]) -> Float[np.ndarray, " kept"]:
    if len(values) <= _POINTS:
        return values
    return values[np.unique(np.linspace(0, len(values) - 1, _POINTS).astype(int))]
