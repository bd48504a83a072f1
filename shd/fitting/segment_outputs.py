"""The files of a segmentation's training."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shd.errors import number_of
from shd.fitting.output_folder import OutputFolder
from shd.fitting.segment_training import SegmentationTraining
from shd.fitting.training_outputs import training_record
from shd.io.atomic import write_json
from shd.io.segmenters import write_segmenter
from shd.io.tables import write_csv
from shd.report.curves import loss_figure
from shd.training.watch import scored

__all__ = ["write_segmenter_training"]

_DRAWN = ("step", "seconds", "loss", "cross_entropy", "dice")


def write_segmenter_training(
    folder: OutputFolder, result: SegmentationTraining, inputs: Mapping[str, Any]
) -> list[Path]:
    """Write model, log.csv, loss.png and run.json of a training and return them in their final place.

    inputs: what was read from where, for run.json. Raises OutputError where a file cannot be written; then none is.
    """
    target, stored = folder.partial, result.stored
    write_segmenter(target / "model.safetensors", stored)
    write_csv(target / "log.csv", result.history)
    shares = [scored(name, result.on) for name in ("average_precision", "chance")]
    drawn = (*_DRAWN, result.on, *shares)
    curves = [{name: row[name] for name in drawn if name in row} for row in result.history]
    loss_figure(target / "loss.png", curves, f"shd segment train: {number_of(result.steps, 'step')}", shares)
    own = {
        "parameters": sum(weight.numel() for weight in stored.network.parameters()),
        "q_table": asdict(stored.table),
        "labels": list(stored.labels),
        "frequencies": list(result.frequencies),
        "thresholds": list(stored.thresholds),
        "validation": {"first": result.history[0], "best": result.best},
    }
    record = training_record(result, stored.config, inputs, own)
    write_json(target / "run.json", record)
    folder.checkpoint.with_suffix(".json").unlink(missing_ok=True)
    return folder.publish()
