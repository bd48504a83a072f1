import numpy as np
import pytest

from shd.errors import GradientError, ScanError, ShdWarning
from shd.scans.scan import Scan, finite_voxels, grid_rotation, without_sparse_shells
from shd.signal.gradients import gradient_table
from shd.sphere.directions import half_sphere
from tests.support.affines import AFFINES

GRADIENTS = gradient_table(np.array([0.0, 0.0] + [1000.0] * 6), half_sphere(8))


def make(data=None, affine=None, mask=None, gradients=GRADIENTS) -> Scan:
    data = np.random.default_rng(0).uniform(1, 2, (4, 5, 3, 8)).astype(np.float32) if data is None else data
    mask = np.ones(data.shape[:3], dtype=bool) if mask is None else mask
    return Scan(data, np.eye(4) if affine is None else affine, gradients, mask)


def test_intensities_and_block_are_the_stored_ones_as_float32():
    data = np.arange(4 * 5 * 3 * 8, dtype=np.uint16).reshape(4, 5, 3, 8) + 1
    scan = make(data)
    voxels = np.array([[3, 4, 2], [0, 0, 0]])
    np.testing.assert_array_equal(scan.intensities(voxels), data[[3, 0], [4, 0], [2, 0]])
    np.testing.assert_array_equal(scan.block((1, 0, 1), (3, 5, 2)), data[1:3, 0:5, 1:2])
    assert scan.intensities(voxels).dtype == scan.block((0, 0, 0), (1, 1, 1)).dtype == np.float32


def test_a_scan_is_shown_in_one_line():
    scan = make(affine=np.diag([2.0, 2.0, 2.5, 1.0]))
    said = "<Scan scan: 4 × 5 × 3 voxels of 2 × 2 × 2.5 mm, volumes 2 at b=0, 6 at b=1000; 60 voxels in the mask>"
    assert repr(scan) == said


def test_counts_that_differ():
    with pytest.raises(ScanError, match="7 volumes but 8 b-values; is the b0 listed"):
        make(np.ones((4, 5, 3, 7)))


def test_mask_of_another_shape():
    with pytest.raises(ScanError, match=r"mask is \(4, 5, 4\) but the scan \(4, 5, 3\)"):
        make(mask=np.ones((4, 5, 4), dtype=bool))


def test_empty_mask():
    with pytest.raises(ScanError, match="0 of 60 voxels"):
        make(mask=np.zeros((4, 5, 3), dtype=bool))


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_affine_without_inverse(bad):
    with pytest.raises(ScanError, match="no inverse"):
        make(affine=np.diag([1.0, bad, 1.0, 1.0]))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_voxels_inside_the_mask_are_named_and_outside_are_ignored(order, value):
    data = np.ones((4, 5, 3, 8), dtype=np.float32, order=order)
    data[2, 3, 1, 7] = value
    with pytest.raises(ScanError, match=r"1 of 60 voxels .* first at \(2, 3, 1\).*--ignore-bad-voxels"):
        make(data)
    good = finite_voxels(data)
    assert good.sum() == 59 and not good[2, 3, 1]
    assert make(data, mask=good).mask.sum() == 59


def test_voxels_without_b0_signal_leave_the_mask():
    data = np.ones((4, 5, 3, 8), dtype=np.float32)
    data[0, 0, :2, :2] = [[0.0, 0.0], [-3.0, 1.0]]
    with pytest.warns(ShdWarning, match="2 of 60 voxels in the mask have no positive b=0"):
        scan = make(data)
    assert scan.mask.sum() == 58 and not scan.mask[0, 0, :2].any()


def test_no_b0_signal_anywhere():
    with pytest.raises(ScanError, match="60 of 60 voxels in the mask have no positive b=0"):
        make(np.zeros((4, 5, 3, 8)))


@pytest.mark.parametrize("name", AFFINES)
def test_rotation_is_the_affine_without_voxel_sizes(name):
    scan = make(affine=AFFINES[name])
    np.testing.assert_allclose(scan.rotation @ scan.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(scan.rotation * scan.voxel_sizes, AFFINES[name][:3, :3], atol=1e-12)


def test_rotation_of_a_sheared_grid_is_orthogonal_and_keeps_the_handedness():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-2.0, 0.1, 0.0], [0.0, 2.0, 0.1], [0.0, 0.0, 3.0]])
    rotation = grid_rotation(affine)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(-1.0)
    assert np.abs(rotation - np.diag([-1.0, 1.0, 1.0])).max() < 0.05


def test_shells_of_too_few_directions_are_left_out():
    directions = np.concatenate([half_sphere(2), half_sphere(3), half_sphere(7)])
    gradients = gradient_table(np.array([0.0] * 2 + [300.0] * 3 + [1000.0] * 7), directions)
    data = np.broadcast_to(np.arange(1.0, 13.0), (2, 2, 2, 12))
    with pytest.warns(ShdWarning, match="3 of 12 volumes are left out.* 3 at b=300"):
        scan = without_sparse_shells(make(data, gradients=gradients))
    np.testing.assert_array_equal(scan.data[0, 0, 0], [1, 2, 6, 7, 8, 9, 10, 11, 12])
    np.testing.assert_array_equal(scan.gradients.directions[2:], gradients.directions[5:])


def test_a_scan_of_three_directions_cannot_be_fitted():
    gradients = gradient_table(np.array([0.0, 1000, 1000, 1000]), np.vstack([[0, 0, 0], np.eye(3)]))
    with pytest.raises(GradientError, match="3 at b=1000: no shell has 6 directions"):
        without_sparse_shells(make(np.ones((2, 2, 2, 4)), gradients=gradients))
