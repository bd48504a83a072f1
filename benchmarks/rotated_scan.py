"""Voxel-wise rotation of a real pipeline: the gradients of a simulated scan are turned, the fODFs must turn with them.

    python -m benchmarks.rotated_scan --steps 0 120

Turning the gradient table by R, with the same measurements, is exactly a rotation of every voxel's signal. Rows:
relative error of the coefficients of degree 2 to 8, and the angle between the highest peaks, over voxels that are more
than half white matter; a network of 0 steps is the first estimate alone.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shd.fodf.peaks import find_peaks
from shd.inference.tiled import deconvolve
from shd.models.deconvolver import Deconvolver
from shd.scans.normalisation import NormalisedScan, normalise
from shd.signal.gradients import Gradients
from shd.simulation import Phantom, crossing_phantom
from shd.sphere.directions import axial_angle
from shd.sphere.rotations import random_rotation, rotate_harmonics
from shd.training.settings import FitSettings
from shd.training.subject import SubjectTraining

DEGREE = 8


def block(angle: float = 60.0) -> tuple[Phantom, NormalisedScan]:
    """Return the middle of the crossing phantom: 600 voxels."""
    phantom = crossing_phantom(angle, snr=20.0, seed=0)
    mask = np.zeros_like(phantom.scan.mask)
    mask[5:15, 5:15, 2:8] = True
    scan = replace(phantom.scan, mask=phantom.scan.mask & mask)
    return replace(phantom, scan=scan), normalise(scan)


def turned(scan: NormalisedScan, rotation: np.ndarray) -> NormalisedScan:
    """Return the scan with its gradients turned."""
    table = scan.gradients
    return replace(scan, gradients=Gradients(table.bvalues, table.directions @ rotation.T, table.shells))


def trained(scan: NormalisedScan, phantom: Phantom, steps: int) -> Deconvolver:
    """Return a small network after so many steps; after none, its start."""
    training = SubjectTraining(scan, phantom.responses, FitSettings(steps=max(steps, 1), width=8, tile=6))
    for _ in range(steps):
        training.step()
    training.validate()
    return training.best_model()


def highest_peaks(fods: np.ndarray) -> np.ndarray:
    """Return one unit vector a voxel."""
    return find_peaks(fods.astype(np.float32), count=1).directions[:, 0].astype(float)


def errors(model: Deconvolver, scan: NormalisedScan, phantom: Phantom, rotation: np.ndarray) -> tuple[float, ...]:
    """Return relative error of the coefficients, median and 90th percentile of the peaks' angle in degrees."""
    inside = scan.rows >= 0
    white = phantom.tissue_fractions[..., 0][inside] > 0.5

    def fods(of: NormalisedScan) -> np.ndarray:
        return deconvolve(model, of, phantom.responses, degree=DEGREE).wm[inside][white].astype(float)

    expected, found = rotate_harmonics(fods(scan), rotation, DEGREE), fods(turned(scan, rotation))
    angles = axial_angle(highest_peaks(expected), highest_peaks(found))
    relative = np.linalg.norm((found - expected)[:, 1:]) / np.linalg.norm(expected[:, 1:])
    return float(relative), float(np.median(angles)), float(np.percentile(angles, 90))


def main(options: Sequence[str] = ()) -> None:
    """Print a row a number of training steps, means over three rotations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 120])
    arguments = parser.parse_args(options)
    phantom, scan = block()
    print(f"{'steps':>6} {'error':>8} {'median °':>9} {'90 % °':>8}")
    for steps in arguments.steps:
        model = trained(scan, phantom, steps)
        generator = np.random.default_rng(0)
        rows = [errors(model, scan, phantom, random_rotation(generator)) for _ in range(3)]
        error, median, high = np.mean(rows, axis=0)
        print(f"{steps:6} {error:8.4f} {median:9.3f} {high:8.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
