"""Train a network that labels voxels of raw diffusion scans, end to end."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import nn

from shd.errors import ResourceError, SettingsError, ShdWarning, is_out_of_memory, number_of
from shd.evaluation.segmentation_scores import best_threshold
from shd.fitting.progress import Progress, Report, silent
from shd.fitting.resuming import resume, save
from shd.fitting.segment_choices import segmentation_fingerprint
from shd.fitting.segment_subjects import LabelledStudy, read_study
from shd.fitting.train_choices import held_out_count
from shd.inference.segmentation import label_probabilities
from shd.io.segmenters import StoredSegmenter, network_for
from shd.io.subjects import Subject
from shd.io.tables import write_csv
from shd.models.pq.config import SegmentationConfig
from shd.scans.voxels import Voxels
from shd.training.segmentation import Batch, SegmentationCourse
from shd.training.segmentation_patches import LabelledSignal, Patches, label_frequencies, turns_of
from shd.training.segmentation_settings import SegmentationSettings
from shd.training.watch import HELD_OUT, LEARNED, scored

__all__ = ["SegmentationTraining", "train_segmenter"]

_SPLIT, _VALIDATION = 3, 1 << 40  # of seeds: apart from each other, and beyond those that anyone gives


@dataclass(frozen=True, eq=False)
class SegmentationTraining:
    """What a training gave: the averaged weights of the best validation with their labels and thresholds.

    history: a row a validation; best: its row of those weights. frequencies: share of each label in the masks learned
    from. held_out: subjects not learned from.
    """

    stored: StoredSegmenter
    settings: SegmentationSettings
    history: list[dict[str, int | float]]
    best: dict[str, int | float]
    steps: int
    frequencies: tuple[float, ...]
    learned: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def on(self) -> str:
        """How the history names what validations score: `HELD_OUT`, or `LEARNED` where no subject is held out."""
        return HELD_OUT if self.held_out else LEARNED


def train_segmenter(
    subjects: Sequence[Subject],
    settings: SegmentationSettings,
    config: SegmentationConfig,
    *,
    validation: Sequence[Subject] = (),
    labels: Sequence[int] | None = None,
    resample: bool = False,
    ignore_bad_voxels: bool = False,
    checkpoint: Path | None = None,
    log: Path | None = None,
    report: Report = silent,
) -> SegmentationTraining:
    """Return a network trained on the subjects' scans and label images.

    config: of the network, but for its classes, which are as many as there are labels. validation: subjects to validate
    on, in place of those that `settings.held_out` takes from the others. labels: values to learn; by default all that
    occur. resample: bring scans to the first one's directions. checkpoint: file from which an interrupted training goes
    on, and into which it saves itself, its numbers beside it as JSON. log: CSV file with the history, written as it
    grows; signals are kept beside it meanwhile. Raises SettingsError for settings that cannot be, CheckpointError where
    `checkpoint` does not fit, ResourceError where memory is missing, and what `read_study` raises.
    """
    if not subjects:
        raise SettingsError("0 subjects; give at least 1 with a label image")
    kept = _held_out(subjects, validation, settings)
    subjects = (*subjects, *validation)
    with TemporaryDirectory(prefix="shd-segment-", dir=log.parent if log else None) as folder:
        report(Progress("subjects", 0.0))
        study = read_study(
            subjects, kept, Path(folder), labels=labels, resample=resample, ignore_bad_voxels=ignore_bad_voxels,
            on_subject=lambda done: report(Progress("subjects", done)),
        )  # fmt: skip
        _warn_of_voxels(study.table.voxels, config)
        config = replace(config, classes=len(study.labels))
        name = segmentation_fingerprint(settings, config, subjects, kept, labels, resample, ignore_bad_voxels)
        frequencies = label_frequencies(study.learned, len(study.labels))
        on = HELD_OUT if kept else LEARNED
        course = SegmentationCourse(lambda: network_for(config, study.table), settings, frequencies, name, on)
        resume(course, checkpoint)
        try:
            _run(course, study, checkpoint, log, report)
            network = course.best_network()
            thresholds = _thresholds(network, study.held_out or study.learned, len(study.labels), report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"a batch of {settings.batch} boxes of {settings.patch} voxels a side does not fit into memory; give "
                "a smaller --patch or --batch"
            ) from error
    return SegmentationTraining(
        StoredSegmenter(network, config, study.table, study.labels, thresholds),
        settings,
        course.watch.history,
        course.best_row(),
        course.steps_done,
        tuple(map(float, frequencies)),
        *(tuple(each.name for each in part) for part in (study.learned, study.held_out)),
    )


def _held_out(
    subjects: Sequence[Subject], validation: Sequence[Subject], settings: SegmentationSettings
) -> frozenset[int]:
    """Return the places of the subjects to validate on, those of `validation` being behind the others."""
    if not validation:
        order = np.random.default_rng([settings.seed, _SPLIT]).permutation(len(subjects))
        return frozenset(map(int, order[: held_out_count(settings.held_out, len(subjects))]))
    both = {subject.dwi for subject in subjects} & {subject.dwi for subject in validation}
    if both:
        raise SettingsError(
            f"{len(both)} subjects are both learned from and validated on ({min(map(str, both))}); leave them out of "
            "one list"
        )
    return frozenset(range(len(subjects), len(subjects) + len(validation)))


def _warn_of_voxels(voxels: Voxels, config: SegmentationConfig) -> None:
    if config.kind == "equivariant" and not voxels.cubic:
        warnings.warn(
            f"voxels of {voxels}: the network counts voxels as cubes; with an edge more than 10 % longer than another "
            "its answers do not turn with the head; regrid the scans to cubic voxels",
            ShdWarning,
            stacklevel=3,
        )


def _warn_if_nothing_learned(course: SegmentationCourse) -> None:
    """Warn where the weights kept are those before the first step, or no better than chance."""
    best, on = course.best_row(), course.on
    precision, chance = (best.get(scored(name, on)) for name in ("average_precision", "chance"))
    told = f"{on} loss {best[on]:.4g}"
    if precision is not None and chance is not None:
        told = f"average precision {precision:.3g}, by chance {chance:.3g}"
    if best["step"] == 0 or (precision is not None and chance is not None and precision <= chance):
        warnings.warn(
            f"nothing was learned: the best of {number_of(len(course.watch.history), 'validation')} is that of step "
            f"{best['step']} ({told}); give more --steps or another --learning-rate, and look whether the labels lie "
            "on the scans",
            ShdWarning,
            stacklevel=3,
        )


def _run(
    course: SegmentationCourse, study: LabelledStudy, checkpoint: Path | None, log: Path | None, report: Report
) -> None:
    """Train to the end of the budget, validating at even parts of it and saving every so often."""
    settings, count = course.settings, len(study.labels)
    patches = Patches(
        study.learned, settings.patch, count, settings.foreground, settings.seed, settings.noise,
        turns_of(study.table) if settings.turn else (),
    )  # fmt: skip
    watched = _validation(study.held_out or study.learned, settings, count)

    def validate() -> None:
        course.validate(watched)
        if log is not None:
            write_csv(log, course.watch.history)

    if not course.watch.history:
        validate()
    shown = ("loss", course.on, scored("average_precision", course.on))
    saved = time.monotonic()
    while not course.finished:
        part = int(course.progress * settings.validations)
        begun = time.monotonic()
        course.step(patches.batch(course.steps_done, settings.batch))
        course.seconds += time.monotonic() - begun
        if int(course.progress * settings.validations) > part:
            validate()
        row = course.watch.history[-1]
        values: dict[str, float] = {name: row[name] for name in shown if name in row}
        report(Progress("training", min(course.progress, 1.0), values))
        if checkpoint is not None and time.monotonic() - saved >= settings.checkpoint_seconds:
            save(course, checkpoint)
            saved = time.monotonic()
    _warn_if_nothing_learned(course)


def _validation(subjects: Sequence[LabelledSignal], settings: SegmentationSettings, count: int) -> list[Batch]:
    patches = Patches(subjects, settings.patch, count, 0.5, settings.seed + _VALIDATION)
    sizes = [settings.batch] * (settings.validation // settings.batch)
    sizes += [settings.validation % settings.batch] if settings.validation % settings.batch else []
    return [patches.batch(number, size) for number, size in enumerate(sizes)]


def _thresholds(
    network: nn.Module, subjects: Sequence[LabelledSignal], count: int, report: Report
) -> tuple[float, ...]:
    """Return for each label but the background the threshold of the best Dice over all voxels of the subjects."""
    chances, truths = [], []
    report(Progress("thresholds", 0.0))
    for number, subject in enumerate(subjects, start=1):
        held = subject.mask
        chances.append(label_probabilities(network, subject)[:, held])
        truths.append(subject.labels[held])
        report(Progress("thresholds", number / len(subjects)))
    chance, truth = np.concatenate(chances, axis=1), np.concatenate(truths)
    return tuple(best_threshold(truth == label, chance[label])[0] for label in range(1, count))
