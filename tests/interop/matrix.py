"""The cells of the acceptance matrix, and how a direction found is held against the truth."""

import subprocess
import warnings

import numpy as np
import pytest

import shd
from shd.errors import ShdWarning
from shd.simulation import single_bundle
from shd.simulation.protocols import Protocol
from shd.sphere.directions import axial_angle, normalised
from shd.training.settings import FitSettings
from tests.support.affines import AFFINES, CONVENTIONS
from tests.support.stored import store

# No flip of an axis and no exchange of two brings it nearer than 25° to itself.
TRUTH = normalised(np.array([[0.80, -0.36, 0.48]]))[0]
PROTOCOL = Protocol("matrix", 2, ((1000.0, 20), (3000.0, 45)))
SHAPE = (4, 4, 4)
WITHIN = 1.0  # degree
SETTINGS = FitSettings(steps=6, width=2, tile=4, threads=1, device="cpu")

cells = pytest.mark.parametrize(
    ("affine", "convention"), [(affine, convention) for affine in AFFINES for convention in CONVENTIONS]
)


def simulated(affine):
    return single_bundle(TRUTH, AFFINES[affine], shape=SHAPE, protocol=PROTOCOL)


def read(place, affine, convention):
    """Write the bundle in a geometry and convention, and read it back."""
    files = store(simulated(affine).scan, place, convention)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*QSIPrep made it", ShdWarning)
        return shd.read_scan(**files)


def to_truth(directions):
    """The angle of each axis to the truth, in degrees; scanner axes."""
    directions = np.asarray(directions, dtype=float).reshape(-1, 3)
    return axial_angle(directions, np.broadcast_to(TRUTH, directions.shape))


def farthest(directions):
    """The largest angle to the truth, of one direction a voxel."""
    assert np.asarray(directions).size == 3 * np.prod(SHAPE)
    return to_truth(directions).max()


def farthest_tangent(streamlines, least):
    """The largest angle to the truth of any step of any streamline, in scanner mm."""
    assert len(streamlines) >= least
    steps = [np.diff(np.asarray(line, dtype=float), axis=0) for line in streamlines]
    assert min(map(len, steps)) >= 4
    return to_truth(normalised(np.concatenate(steps))).max()


def run_mrtrix(*words):
    """Run an MRtrix3 program to its end; return what it printed."""
    command = [*map(str, words), "-quiet", "-nthreads", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
