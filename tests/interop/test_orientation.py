"""The acceptance matrix: a bundle of known direction, through every geometry, gradient convention and reading program.

A simulated scan is written to disk, read, deconvolved by a network trained as users train it, and written; MRtrix3, our
own peaks and DIPY must then find the direction within one degree, in every cell.
"""

import shutil
import subprocess
import warnings
from functools import partial

import numpy as np
import pytest
from dipy.core.sphere import HemiSphere
from dipy.data import get_sphere
from dipy.direction import peak_directions
from dipy.reconst.shm import sh_to_sf

import shd
from shd.errors import ShdWarning
from shd.fitting.fit import DEGREE
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from shd.graphs.hemisphere import vertex_directions
from shd.io.fodf import read_fod_for_dipy
from shd.io.peaks import read_peaks
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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a function that gives a cell's output folder; the first cell's network serves them all."""
    place = tmp_path_factory.mktemp("matrix")
    first = shd.fit(read(place / "first", "RAS", "fsl"), simulated("RAS").responses, SETTINGS)
    folder = OutputFolder(place / "fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shd.fitting.outputs.fit_figure", lambda path, **content: None)
        write_fit(folder, simulated("RAS").scan, first, {})

    def of_cell(affine, convention):
        out = place / f"{affine}-{convention}"
        if not out.exists():
            scan = read(place / "scans" / out.name, affine, convention)
            result = shd.infer(scan, place / "fit" / "model.safetensors", tile=4, device="cpu", threads=1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("shd.fitting.outputs.fit_figure", lambda path, **content: None)
                write_fit(OutputFolder(out), scan, result, {})
        return out

    return of_cell


def farthest(directions):
    """The largest angle to the truth, in degrees."""
    directions = directions.reshape(-1, 3).astype(float)
    assert len(directions) == np.prod(SHAPE)
    return axial_angle(directions, np.broadcast_to(TRUTH, directions.shape)).max()


@pytest.mark.parametrize("flip", [np.diag([-1, 1, 1]), np.diag([1, -1, 1]), np.diag([1, 1, -1]), np.eye(3)[[1, 0, 2]],
                                  np.eye(3)[[0, 2, 1]], np.eye(3)[[2, 1, 0]], np.eye(3)[[1, 2, 0]]])  # fmt: skip
def test_any_confusion_of_axes_would_be_seen(flip):
    assert axial_angle((flip @ TRUTH)[None], TRUTH[None])[0] > 25 * WITHIN


@cells
@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("sh2peaks") is None, reason="MRtrix3 programs are not installed")
def test_mrtrix_finds_the_direction_in_our_fods(results, tmp_path, affine, convention):
    """Its search starts at 60 directions by default, too few for degree 12: it can miss the one peak there is."""
    fods = results(affine, convention) / "wm_fod.nii.gz"
    x, y, z = vertex_directions(4, hemisphere=True).T
    np.savetxt(tmp_path / "seeds.txt", np.stack([np.arctan2(y, x), np.arccos(z)], axis=1))
    command = ["sh2peaks", "-num", "1", "-seeds", str(tmp_path / "seeds.txt"), "-quiet", "-nthreads", "0"]
    command += [str(fods), str(tmp_path / "peaks.nii")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert farthest(read_peaks(tmp_path / "peaks.nii")[0].directions) < WITHIN


@cells
def test_our_peaks_hold_the_direction(results, affine, convention):
    peaks = read_peaks(results(affine, convention) / "peaks.nii.gz")[0]
    assert farthest(peaks.directions[..., 0, :]) < WITHIN


@pytest.fixture(scope="module")
def fine_sphere():
    """Directions 1° apart: DIPY answers with one of these."""
    return HemiSphere.from_sphere(get_sphere(name="repulsion724")).subdivide(n=3)


@cells
def test_dipy_finds_the_direction_in_voxel_axes(results, fine_sphere, affine, convention):
    coefficients, grid = read_fod_for_dipy(results(affine, convention) / "wm_fod.nii.gz")
    sampled = sh_to_sf(coefficients, fine_sphere, sh_order_max=DEGREE, basis_type="tournier07", legacy=False)
    highest = partial(peak_directions, sphere=fine_sphere, relative_peak_threshold=0.5)
    found = np.stack([highest(values.astype(float))[0][0] for values in sampled.reshape(-1, len(fine_sphere.vertices))])
    assert farthest(found @ normalised(grid[:3, :3].T)) < WITHIN


@pytest.mark.parametrize("affine", AFFINES)
def test_a_fit_of_its_own_finds_it_too(affine):
    """The same, trained in each geometry and not inferred."""
    phantom = simulated(affine)
    result = shd.fit(phantom.scan, phantom.responses, SETTINGS)
    assert farthest(result.peaks.directions[..., 0, :]) < WITHIN
