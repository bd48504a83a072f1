"""Segmentations against label images: scores of each subject and of all together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from shd._version import __version__
from shd.errors import EvaluationError, ScanError, number_of
from shd.evaluation.lesion_scores import OVERLAP, LesionScores, lesion_scores
from shd.evaluation.segmentation_scores import Curves, VoxelScores, curves, voxel_scores
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, silent
from shd.io.atomic import write_json
from shd.io.grids import check_same_grid
from shd.io.images import read_with_sidecar
from shd.io.labels import read_labels
from shd.io.subject_lists import lists_subjects
from shd.io.subjects import read_subjects
from shd.io.tables import write_csv
from shd.report.segmentation_figure import curves_figure

__all__ = ["ALL", "SegmentationScores", "evaluate_segmentations", "scored_pairs", "write_segmentation_scores"]

ALL = "all"
"""The name of the row over the voxels of all subjects together."""


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of one label on one subject, or on all. voxels: None where the label fills none, or all, of the mask."""

    subject: str
    label: int
    voxels: VoxelScores | None
    lesions: LesionScores

    def row(self) -> dict[str, Any]:
        """Return all numbers by name, as tables have them; what is not defined is None."""
        names = [field for field in VoxelScores.__dataclass_fields__]
        found = asdict(self.voxels) if self.voxels else dict.fromkeys(names)
        counts = asdict(self.lesions) | {"sensitivity": self.lesions.sensitivity}
        return {"subject": self.subject, "label": self.label, **found, **counts}


@dataclass(frozen=True, eq=False)
class _Pair:
    """One subject's probabilities and labels on one grid."""

    chances: Float[np.ndarray, "label x y z"]
    truth: Int[np.ndarray, "x y z"]
    mask: Bool[np.ndarray, "x y z"]
    labels: tuple[int, ...]
    thresholds: tuple[float, ...]


def evaluate_segmentations(
    pairs: Mapping[str, tuple[Path, Path]],
    *,
    threshold: float | None = None,
    overlap: float = OVERLAP,
    report: Report = silent,
) -> tuple[list[SegmentationScores], dict[int, Curves]]:
    """Return scores of each label on each subject, and on all together, and the curves over all.

    pairs: by name of the subject, the folder that `shd segment predict` wrote and the label image. threshold: for the
    Dice away from 0.5 and for lesions, in place of that which training chose on held-out subjects. overlap: as in
    `LesionScores`. Raises ScanError for files that are missing or damaged, or labels of another grid, EvaluationError
    where nothing can be scored.
    """
    if threshold is not None and not 0.0 < threshold <= 1.0:
        raise EvaluationError(f"threshold {threshold:g}: a probability above 0, up to 1")
    if not 0.0 < overlap <= 1.0:
        raise EvaluationError(f"overlap {overlap:g}: a share above 0, up to 1")
    scores: list[SegmentationScores] = []
    pooled: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    used: dict[int, float] = {}
    for number, (name, (folder, label)) in enumerate(pairs.items(), start=1):
        pair = _read(folder, label)
        for place, value in enumerate(pair.labels):
            limit = pair.thresholds[place] if threshold is None else threshold
            used.setdefault(value, limit)
            chance, truth = pair.chances[place][pair.mask], pair.truth[pair.mask] == value
            pooled.setdefault(value, []).append((truth, chance))
            found = (pair.chances[place] >= limit) & pair.mask
            lesions = lesion_scores((pair.truth == value) & pair.mask, found, overlap)
            mixed = 0 < truth.sum() < len(truth)
            voxels = voxel_scores(truth, chance, limit) if mixed else None
            scores.append(SegmentationScores(name, value, voxels, lesions))
        report(Progress("scoring", number / len(pairs)))
    drawn = {}
    for value, parts in pooled.items():
        truth, chance = (np.concatenate(part) for part in zip(*parts, strict=True))
        counts = [each.lesions for each in scores if each.label == value]
        total = sum(counts[1:], counts[0])
        try:
            voxels = voxel_scores(truth, chance, used[value])
        except EvaluationError as error:
            raise EvaluationError(f"label {value} in {len(parts)} subjects: {error}") from None
        scores.append(SegmentationScores(ALL, value, voxels, total))
        drawn[value] = curves(truth, chance)
    return scores, drawn


def scored_pairs(predicted: Path, truth: Path) -> dict[str, tuple[Path, Path]]:
    """Return folder and label image of each subject, by name; of one scan, by the name of its folder.

    truth: a label image, or a list of subjects with a column `label`. Raises ScanError where one has no label image.
    """
    if not lists_subjects(truth):
        return {predicted.name: (predicted, truth)}
    pairs = {}
    for subject in read_subjects(truth):
        if subject.label is None:
            raise ScanError(
                f"{subject.name}: no label image; give the list of subjects a column `label`, filled for all"
            )
        pairs[subject.name] = (predicted / subject.name, subject.label)
    return pairs


def _read(folder: Path, label: Path) -> _Pair:
    """Return what `shd segment predict` wrote in a folder with the labels of an image."""
    image = folder / "probability.nii.gz"
    if not image.is_file():
        raise ScanError(f"{folder}: holds no probability.nii.gz; give what shd segment predict wrote")
    chances, affine, sidecar = read_with_sidecar(image)
    chances = chances[..., None] if chances.ndim == 3 else chances
    mask, grid, _ = read_with_sidecar(folder / "mask.nii.gz")
    check_same_grid("mask.nii.gz", mask.shape, grid, image.name, chances.shape, affine)
    try:
        labels = tuple(int(value) for value in sidecar["Labels"])
        thresholds = tuple(float(value) for value in sidecar["Thresholds"])
    except (KeyError, TypeError, ValueError):
        raise ScanError(f"{folder}: probability.json names no Labels and Thresholds; predict again") from None
    if not len(labels) == len(thresholds) == chances.shape[-1]:
        raise ScanError(
            f"{image}: {number_of(chances.shape[-1], 'volume')} but {number_of(len(labels), 'label')} in its "
            "sidecar; predict again"
        )
    truth = read_labels(label, str(image), chances.shape[:3], affine)
    return _Pair(np.moveaxis(chances, -1, 0), truth, mask > 0.5, labels, thresholds)


def write_segmentation_scores(
    folder: OutputFolder,
    scores: Sequence[SegmentationScores],
    drawn: Mapping[int, Curves],
    inputs: Mapping[str, Any],
) -> list[Path]:
    """Write scores.csv, scores.json and curves.png; return them in their final place."""
    rows = [each.row() for each in scores]
    write_csv(folder.partial / "scores.csv", rows)
    write_json(folder.partial / "scores.json", {"shd": __version__, "inputs": dict(inputs), "scores": rows})
    together = {each.label: each.voxels for each in scores if each.subject == ALL and each.voxels}
    curves_figure(folder.partial / "curves.png", drawn, together)
    return folder.publish()
