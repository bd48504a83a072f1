import numpy as np
import pytest

from shd.errors import ShdWarning
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.gradients import gradient_table
from shd.sphere.directions import half_sphere

GRADIENTS = gradient_table(
    np.concatenate([np.zeros(3), np.full(8, 1000.0)]), np.concatenate([np.zeros((3, 3)), half_sphere(8)])
)


def scan(dtype=np.float32, shape=(4, 3, 5), seed=0):
    generator = np.random.default_rng(seed)
    data = generator.uniform(100, 1000, (*shape, 11)).astype(dtype)
    return Scan(data, np.diag([2.0, 2.0, 2.0, 1.0]), GRADIENTS, generator.random(shape) < 0.7)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_every_voxel_is_divided_by_its_own_mean_b0_signal(dtype):
    given = scan(dtype)
    found = normalise(given)
    for row, voxel in enumerate(np.argwhere(given.mask)):
        values = given.data[tuple(voxel)].astype(np.float64)
        mean = values[:3].mean()
        np.testing.assert_allclose(found.signal[row], np.clip(values / mean, 0, 2), rtol=1e-5)
        assert found.b0[row] == pytest.approx(mean, rel=1e-6)
    assert found.signal.dtype == found.b0.dtype == np.float32
    assert found.gradients is given.gradients and found.affine is given.affine


def test_rows_number_the_mask_in_c_order():
    given = scan()
    found = normalise(given)
    np.testing.assert_array_equal(found.rows >= 0, given.mask)
    np.testing.assert_array_equal(found.rows[given.mask], np.arange(given.mask.sum()))
    np.testing.assert_array_equal(found.voxels, np.argwhere(given.mask))


@pytest.mark.parametrize("block", [1, 7, 10**6])
def test_the_block_size_changes_nothing(block):
    given = scan()
    whole, parts = normalise(given), normalise(given, block=block)
    np.testing.assert_array_equal(whole.signal, parts.signal)
    np.testing.assert_array_equal(whole.b0, parts.b0)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 2, 3), (3, 0, 2, 1)])
def test_the_order_in_memory_changes_nothing(axes):
    """NIfTI files have x fastest and volumes slowest; rows are in C order of the grid whatever the file's order."""
    given = scan()
    back = np.argsort(axes)
    data = np.ascontiguousarray(given.data.transpose(axes)).transpose(back)
    found, expected = normalise(Scan(data, given.affine, GRADIENTS, given.mask), block=7), normalise(given)
    np.testing.assert_allclose(found.signal, expected.signal, rtol=1e-6)
    np.testing.assert_allclose(found.b0, expected.b0, rtol=1e-6)


def test_the_scan_is_left_as_it_is():
    given = scan()
    before = given.data.copy()
    normalise(given)
    np.testing.assert_array_equal(given.data, before)


def test_scaling_a_voxel_scales_its_b0_alone():
    given = scan()
    other = Scan(given.data * 3, given.affine, GRADIENTS, given.mask)
    np.testing.assert_allclose(normalise(other).signal, normalise(given).signal, rtol=1e-5)
    np.testing.assert_allclose(normalise(other).b0, 3 * normalise(given).b0, rtol=1e-5)


def test_wild_and_negative_values_are_clipped():
    given = scan()
    voxel = tuple(np.argwhere(given.mask)[0])
    given.data[voxel][:3] = 100
    given.data[voxel][3], given.data[voxel][4] = 1e6, -50
    signal = normalise(given).signal[0]
    assert signal[3] == 2.0 and signal[4] == 0.0


def test_one_voxel():
    found = normalise(Scan(np.full((1, 1, 1, 11), 5.0), np.eye(4), GRADIENTS, np.ones((1, 1, 1), bool)))
    np.testing.assert_array_equal(found.signal, np.ones((1, 11)))


def test_voxels_without_b0_signal_have_left_the_mask():
    data = np.full((2, 1, 1, 11), 5.0)
    data[1, 0, 0, :3] = 0
    with pytest.warns(ShdWarning, match="1 of 2 voxels in the mask have no positive b=0 signal"):
        dark = Scan(data, np.eye(4), GRADIENTS, np.ones((2, 1, 1), bool))
    assert len(normalise(dark).signal) == 1
