"""DIPY reads our fODFs by `read_fod_for_dipy` and tracks along the directions we wrote, whatever the grid."""

import numpy as np
import pytest
from dipy.core.sphere import HemiSphere
from dipy.data import get_sphere
from dipy.direction import DeterministicMaximumDirectionGetter, peak_directions
from dipy.reconst.shm import sh_to_sf
from dipy.tracking.local_tracking import LocalTracking
from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
from dipy.tracking.streamline import Streamlines

from shd.fodf.frames import peaks_to_voxel_axes
from shd.fodf.peaks import find_peaks
from shd.io.fodf import read_fod_for_dipy, write_fod
from shd.sphere.directions import axial_angle, normalised
from tests.interop.known_fods import GRIDS, SHAPE, TRUTH, inside, scattered_fibres, straight_bundle

frames = pytest.mark.parametrize("frame", GRIDS)


@pytest.fixture(scope="module")
def fine_sphere():
    """Directions 1° apart: DIPY's getters return one of these, whatever the fODF."""
    return HemiSphere.from_sphere(get_sphere(name="repulsion724")).subdivide(n=3)


def in_scanner_axes(voxel_directions, frame):
    return voxel_directions @ normalised(GRIDS[frame][:3, :3].T)


@frames
def test_peaks_are_the_directions_written(tmp_path, frame, fine_sphere):
    coefficients, axes = scattered_fibres()
    write_fod(tmp_path / "fod.nii.gz", coefficients, GRIDS[frame])
    read, affine = read_fod_for_dipy(tmp_path / "fod.nii.gz")
    np.testing.assert_allclose(affine, GRIDS[frame], atol=1e-5)
    voxels = ([0, 8, 3], [0, 0, 7], [0, 6, 2])
    sampled = sh_to_sf(read[voxels], fine_sphere, sh_order_max=8, basis_type="tournier07", legacy=False)
    for values, axis in zip(sampled.astype(float), axes[voxels], strict=True):
        directions, heights, _ = peak_directions(values, fine_sphere, relative_peak_threshold=0.5)
        assert axial_angle(in_scanner_axes(directions[:1], frame), axis[None])[0] < 1.0
        assert heights[0] == pytest.approx(1.0, abs=0.01)


@frames
def test_local_tracking_follows_the_bundle(tmp_path, frame, fine_sphere):
    write_fod(tmp_path / "fod.nii.gz", straight_bundle(), GRIDS[frame])
    read, affine = read_fod_for_dipy(tmp_path / "fod.nii.gz")
    getter = DeterministicMaximumDirectionGetter.from_shcoeff(
        read, max_angle=30, sphere=fine_sphere, basis_type="tournier07", legacy=False, sh_to_pmf=True
    )
    seeds = np.array([[4, 4, 3], [3, 4, 3], [4, 3, 4]]) @ affine[:3, :3].T + affine[:3, 3]
    stopping = BinaryStoppingCriterion(np.ones(SHAPE, bool))
    streamlines = Streamlines(LocalTracking(getter, stopping, seeds, affine, step_size=0.5, random_seed=1))
    assert len(streamlines) == 3
    for line in streamlines:
        assert len(line) > 10 and inside(line, affine)
        assert axial_angle(normalised((line[-1] - line[0])[None].astype(float)), TRUTH[None])[0] < 1.0


@frames
def test_our_peaks_in_voxel_axes_are_those_of_the_fods_in_voxel_axes(tmp_path, frame):
    coefficients, axes = scattered_fibres()
    write_fod(tmp_path / "fod.nii.gz", coefficients, GRIDS[frame])
    read, affine = read_fod_for_dipy(tmp_path / "fod.nii.gz")
    turned = peaks_to_voxel_axes(find_peaks(coefficients.reshape(-1, 45), count=1), affine)
    direct = find_peaks(read.reshape(-1, 45), count=1)
    assert axial_angle(turned.directions.astype(float), direct.directions.astype(float)).max() < 1e-3
    in_scanner = in_scanner_axes(direct.directions[:, 0].astype(float), frame)
    assert axial_angle(in_scanner, axes.reshape(-1, 3)).max() < 1e-3
