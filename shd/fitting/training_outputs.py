"""The files of a training."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from shd._version import __version__
from shd.errors import number_of
from shd.fitting.output_folder import OutputFolder
from shd.fitting.record import versions
from shd.fitting.segment_training import SegmentationTraining
from shd.fitting.train import Training
from shd.io.atomic import write_json
from shd.io.checkpoints import write_model
from shd.io.tables import write_csv
from shd.report.curves import loss_figure

__all__ = ["training_record", "write_training"]


def write_training(folder: OutputFolder, result: Training, inputs: Mapping[str, Any]) -> list[Path]:
    """Write model, log.csv, loss.png and run.json of a training and return them in their final place.

    inputs: what was read from where, for run.json. Raises OutputError where a file cannot be written; then none is.
    """
    target = folder.partial
    write_model(target / "model.safetensors", result.model, trained=result.trained)
    write_csv(target / "log.csv", result.history)
    kept = ("step", "seconds", result.on)
    curves = [
        {name: value for name, value in row.items() if name in kept or not name.startswith((result.on, "learning"))}
        for row in result.history
    ]
    loss_figure(target / "loss.png", curves, f"shd train: {number_of(result.steps, 'step')}")
    own = {
        "plan": asdict(result.plan),
        "trained": dict(result.trained.ends),
        f"{result.on}_loss": {"first": result.history[0][result.on], "best": result.best_loss},
    }
    record = training_record(result, result.model.config, inputs, own)
    write_json(target / "run.json", record)
    folder.checkpoint.with_suffix(".json").unlink(missing_ok=True)
    return folder.publish()


def training_record(
    result: Training | SegmentationTraining, config: Any, inputs: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what run.json says of every training on many scans, with what is its own, as plain JSON.

    config: of the network, a dataclass.
    """
    return {
        "shd": __version__,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": dict(inputs),
        "settings": asdict(result.settings),
        "model": asdict(config),
        "subjects": {"learned": list(result.learned), "held_out": list(result.held_out)},
        **own,
        "steps": result.steps,
        "seconds": result.history[-1]["seconds"],
        "versions": versions(),
    }
