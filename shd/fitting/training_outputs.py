"""The files of a training."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from shd._version import __version__
from shd.fitting.output_folder import OutputFolder
from shd.fitting.record import versions
from shd.fitting.train import Training
from shd.io.atomic import write_json
from shd.io.checkpoints import write_model
from shd.io.tables import write_csv
from shd.report.curves import loss_figure

__all__ = ["write_training"]


def write_training(folder: OutputFolder, result: Training, inputs: Mapping[str, Any]) -> list[Path]:
    """Write model, log.csv, loss.png and run.json of a training and return them in their final place.

    inputs: what was read from where, for run.json. Raises OutputError where a file cannot be written; then none is.
    """
    target = folder.partial
    write_model(target / "model.safetensors", result.model, trained=result.trained)
    write_csv(target / "log.csv", result.history)
    kept = ("step", "seconds", "held_out")
    curves = [
        {name: value for name, value in row.items() if name in kept or not name.startswith(("held_out", "learning"))}
        for row in result.history
    ]
    loss_figure(target / "loss.png", curves, f"shd train: {result.steps} steps")
    record = {
        "shd": __version__,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": dict(inputs),
        "settings": asdict(result.settings),
        "plan": asdict(result.plan),
        "model": asdict(result.model.config),
        "subjects": {"learned": list(result.learned), "held_out": list(result.held_out)},
        "trained": dict(result.trained.ends),
        "steps": result.steps,
        "held_out_loss": {"first": result.history[0]["held_out"], "best": result.best_loss},
        "seconds": result.history[-1]["seconds"],
        "versions": versions(),
    }
    write_json(target / "run.json", record)
    folder.checkpoint.with_suffix(".json").unlink(missing_ok=True)
    return folder.publish()
