"""The picture of methods on phantoms: what is where, in colours that can be predicted."""

import matplotlib.image
import numpy as np
import pytest

from shd.evaluation.trial import Trial
from shd.fodf.field import FodField
from shd.report.trial_figure import WINDOW, crossing_plane, trial_figure
from shd.simulation import crossing_phantom
from shd.simulation.true_fods import true_fods
from tests.support.affines import AFFINES


@pytest.fixture(scope="module")
def trial():
    phantom = crossing_phantom(60.0, shape=(14, 14, 8), snr=None)
    scan = phantom.scan
    truth = FodField(true_fods(phantom, degree=8), {}, scan.affine, scan.mask)
    nothing = FodField(np.zeros_like(truth.wm), {}, scan.affine, scan.mask)
    return Trial("60°", phantom, {"truth": truth, "right": truth, "nothing": nothing})


def test_the_plane_is_the_one_nearest_to_both_fibres_and_goes_through_the_crossing(trial):
    plane = crossing_plane(trial)
    two = np.argwhere((trial.phantom.fractions > 0.3).all(axis=-1))
    middle = trial.phantom.directions[tuple(two[len(two) // 2])]
    normal = np.cross(middle[0], middle[1])
    along = np.abs(plane.frame[2] @ normal) / np.linalg.norm(normal)
    assert along > np.sqrt(1 / 3)  # the nearest of three orthogonal planes
    shown = {tuple(voxel) for voxel in plane.voxels()}
    assert sum(tuple(voxel) in shown for voxel in two) > 5
    assert len(shown) <= WINDOW**2


@pytest.mark.parametrize("name", AFFINES)
def test_the_plane_holds_the_crossing_on_any_grid(name):
    phantom = crossing_phantom(60.0, shape=(10, 9, 8), snr=None, affine=AFFINES[name])
    fods = FodField(true_fods(phantom, degree=4), {}, phantom.scan.affine, phantom.scan.mask)
    plane = crossing_plane(Trial("60°", phantom, {"truth": fods}))
    both = phantom.fractions.min(axis=-1)
    assert plane.cut(both).sum() > 0


def test_picture_is_written_and_a_method_without_peaks_is_all_error(trial, tmp_path):
    path = tmp_path / "demo.png"
    trial_figure(path, [trial], truth="truth", relative_threshold=0.1, title="two bundles", subtitle="SNR ∞")
    image = matplotlib.image.imread(path)[..., :3]
    assert image.shape[0] > 600 and image.shape[1] > 1500
    worst = np.array([253, 231, 37]) / 255  # the last colour of viridis, which only the error maps use
    yellow = np.abs(image - worst).max(axis=-1) < 0.02
    halves = np.array_split(yellow[:, : int(0.95 * yellow.shape[1])], 2)  # without the colour bar
    assert halves[1].sum() > 1000 > 10 > halves[0].sum()
