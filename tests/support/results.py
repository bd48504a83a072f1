"""Folders of results as `shd fit` leaves them, with all that lies beside the fODFs, without a fit."""

import csv
import json
from pathlib import Path

import numpy as np

from shd.io.fit_folder import read_fit_folder
from shd.io.images import write_image
from tests.support.fits import store_fit

HISTORY = [{"step": step, "seconds": 0.5 * step, "loss": 2.0 / (step + 1), "held_out": 1.5} for step in range(4)]


def store_result(
    folder: Path, shape: tuple[int, int, int] = (6, 7, 5), residual: float = 1.0, **changed: object
) -> Path:
    """Write the folder of a fit with b0.nii.gz, residual.nii.gz, log.csv. changed: of run.json; snr goes into scan."""
    store_fit(folder, shape=shape)
    fod = read_fit_folder(folder).fod
    ramp = np.linspace(100.0, 900.0, fod.mask.size).reshape(shape)
    write_image(folder / "b0.nii.gz", [ramp], shape, fod.affine, {})
    write_image(folder / "residual.nii.gz", [residual * fod.mask], shape, fod.affine, {})
    with (folder / "log.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(HISTORY[0]))
        table.writeheader()
        table.writerows(HISTORY)
    record = json.loads((folder / "run.json").read_text())
    record["scan"]["snr"] = changed.pop("snr", 20.0)
    settings = {"minutes": None, "start": "small", "seed": 0}
    record |= {"steps": 3, "settings": settings, "held_out_loss": {"first": 2.0, "best": 1.5}, **changed}
    (folder / "run.json").write_text(json.dumps(record))
    return folder
