"""Accuracy of fODFs and peaks with products in half precision, in training and in inference.

    python -m benchmarks.half_precision --angles 60 45 --steps 600

Networks are trained on the crossing phantom in float32 and in bfloat16, the same steps from the same seed, and each is
applied in float32, bfloat16 and float16. Columns: the relative difference of the fODFs from the float32 network's own,
the median angle between the highest peaks, then the scores of benchmarks.crossing over voxels with two fibres.
"""

import argparse
import copy
import sys
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.accuracy_against_minutes import measure
from shd.fitting.budget import default_settings
from shd.fitting.fit import DEGREE
from shd.fodf.peaks import find_peaks
from shd.inference.tiled import deconvolve
from shd.models.deconvolver import Deconvolver
from shd.scans.normalisation import normalise
from shd.simulation import Phantom, crossing_phantom
from shd.training.subject import SubjectTraining

COLUMNS = ("training", "inference", "fODF difference", "peaks °", "error °", "both found", "success", "F1")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def trained(phantom: Phantom, steps: int, bfloat16: bool) -> Deconvolver:
    """Return the network after `steps` steps with the settings of a fit."""
    settings = default_settings(int(phantom.scan.mask.sum()), steps=steps, bfloat16=bfloat16)
    training = SubjectTraining(normalise(phantom.scan), phantom.responses, settings)
    training.validate()
    for step in range(1, steps + 1):
        training.step()
        if step * settings.validations % steps < settings.validations:
            training.validate()
    return training.best_model()


def applied(model: Deconvolver, phantom: Phantom, precision: torch.dtype | None) -> np.ndarray:
    """Return the white-matter fODFs with products in `precision`, float32 for None."""
    network = copy.copy(model)
    if precision is not None:  # the network alone: what surrounds it stays in single precision
        network.forward = torch.autocast("cpu", precision)(model.forward)
    return deconvolve(network, normalise(phantom.scan), phantom.responses, degree=DEGREE).wm


def peak_angle(fods: np.ndarray, others: np.ndarray) -> float:
    """Return the median angle in degrees between the highest peaks of two fields of fODFs."""
    first, second = (find_peaks(field.reshape(-1, field.shape[-1])).directions[:, 0] for field in (fods, others))
    cosine = np.abs(np.sum(first * second, axis=-1))
    return float(np.degrees(np.nanmedian(np.arccos(np.clip(cosine, 0, 1)))))


def main(options: Sequence[str] = ()) -> None:
    """Print one table an angle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=float, nargs="+", default=[60.0, 45.0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(options)
    for angle in arguments.angles:
        phantom = crossing_phantom(angle, seed=arguments.seed)
        print(f"\n{angle:g}° crossing, {arguments.steps} steps, seed {arguments.seed}, peaks ≥ 0.1\n")
        print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
        for training in ("float32", "bfloat16"):
            model = trained(phantom, arguments.steps, bfloat16=training == "bfloat16")
            exact = applied(model, phantom, None)
            for name, precision in PRECISIONS.items():
                found = applied(model, phantom, precision)
                difference = np.linalg.norm(found - exact) / np.linalg.norm(exact)
                scores = " | ".join(f"{value:.3f}" for value in measure(found, phantom, 0.1)[:4])
                angles = peak_angle(found, exact)
                print(f"| {training} | {name} | {difference:.1e} | {angles:.2f} | {scores} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
