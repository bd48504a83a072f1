"""One network trained on some of the scans of one seed: its scores on scans that it has not seen."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.segmentation_study.scans import Scans
from shd.evaluation.segmentation_scores import voxel_scores
from shd.fitting.segment_prediction import predict_subject
from shd.fitting.segment_training import train_segmenter
from shd.io.labels import read_labels
from shd.io.segmenters import StoredSegmenter
from shd.io.subjects import Subject
from shd.models.pq.config import SegmentationConfig
from shd.training.segmentation_settings import SegmentationSettings

__all__ = ["METHODS", "SCORES", "Budget", "Method", "measure"]

SCORES = ("roc_auc", "average_precision", "dice", "dice_at")
_SMALL: dict[str, Any] = {"pq_channels": ((6, 3),), "p_channels": ((10, 5), (10, 5))}
_WIDE: dict[str, Any] = {"pq_channels": ((24, 12),), "p_channels": ((30, 15), (30, 15))}


@dataclass(frozen=True)
class Method:
    """A row of the tables. network: fields of `SegmentationConfig`. times: steps for each of the equivariant network's,
    by which "equal time" takes as much of the processor. learning_rate: see docs/segmentation.md.
    """

    name: str
    network: Mapping[str, Any]
    times: float
    learning_rate: float


METHODS = {
    "equivariant": Method("equivariant", {"kind": "equivariant"} | _SMALL, 1.0, 1e-2),
    "cnn": Method("CNN, equal parameters and steps", {"kind": "cnn"} | _SMALL, 1.0, 3e-3),
    "cnn-time": Method("CNN, equal parameters and time", {"kind": "cnn"} | _SMALL, 10.0, 3e-3),
    "cnn-wide": Method("CNN, 8 times the parameters", {"kind": "cnn"} | _WIDE, 3.5, 3e-3),
}


@dataclass(frozen=True)
class Budget:
    """steps: of the equivariant network."""

    steps: int

    def settings(self, method: Method, seed: int) -> SegmentationSettings:
        """Return how a method is trained: all alike but for steps and learning rate."""
        return SegmentationSettings(
            steps=round(self.steps * method.times), patch=12, batch=2, learning_rate=method.learning_rate,
            averaging=0.95, validations=5, validation=32, device="cpu", seed=seed,
        )  # fmt: skip


def measure(
    key: str, scans: Scans, training: str, seed: int, count: int, tests: Sequence[str], budget: Budget
) -> dict[str, Any]:
    """Return scores by orientation of the test scans, pooled over their voxels, with steps, seconds and parameters.

    training: orientation of the `count` scans learned from. seconds: of the processor, for the training alone.
    """
    method = METHODS[key]
    learned, validated = scans.trained(training, seed, count), scans.validated(training, seed)
    begun = time.process_time()
    result = train_segmenter(
        learned, budget.settings(method, seed), SegmentationConfig(**method.network), validation=validated
    )
    seconds = time.process_time() - begun
    return {
        "scores": {orientation: _scores(result.stored, scans.tested(orientation)) for orientation in tests},
        "steps": result.steps,
        "seconds": seconds,
        "parameters": sum(weight.numel() for weight in result.stored.network.parameters()),
    }


def _scores(stored: StoredSegmenter, subjects: Sequence[Subject]) -> dict[str, float]:
    """Return the scores of the one label over the voxels of all subjects' masks."""
    chances, truths = [], []
    for subject in subjects:
        scan, chance = predict_subject(stored, subject, tile=48)
        assert subject.label is not None
        truth = read_labels(subject.label, scan.name, scan.shape, scan.affine)
        chances.append(chance[1][scan.mask])
        truths.append(truth[scan.mask] == stored.labels[1])
    found = voxel_scores(np.concatenate(truths), np.concatenate(chances), stored.thresholds[0])
    return {name: float(getattr(found, name)) for name in SCORES}
