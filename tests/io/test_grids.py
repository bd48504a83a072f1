import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.io.grids import check_same_grid, greatest_offset
from tests.support.affines import AFFINES

SHAPE = (11, 6, 4)


@pytest.mark.parametrize("name", AFFINES)
def test_one_grid_is_one_grid(name):
    check_same_grid("a", (*SHAPE, 45), AFFINES[name], "b", SHAPE, AFFINES[name] + 1e-5)


def test_sizes_that_differ_are_refused_by_name():
    with pytest.raises(EvaluationError, match="fod is 11 × 6 × 5 voxels but the truth 11 × 6 × 4"):
        check_same_grid("fod", (11, 6, 5, 45), AFFINES["RAS"], "the truth", SHAPE, AFFINES["RAS"])


def test_a_shift_is_refused_with_how_far():
    moved = AFFINES["oblique"].copy()
    moved[1, 3] += 1.5
    with pytest.raises(EvaluationError, match=r"fod lies 1\.50 mm away from the truth .* more than the 0\.20 mm"):
        check_same_grid("fod", SHAPE, moved, "the truth", SHAPE, AFFINES["oblique"])


def test_offset_is_the_greatest_of_the_corners():
    scaled = AFFINES["RAS"].copy()
    scaled[0, 0] *= 1.1  # grows by 0.2 mm a voxel
    assert greatest_offset(scaled, AFFINES["RAS"], SHAPE) == pytest.approx(0.2 * 10)
    with pytest.raises(EvaluationError, match=r"2\.00 mm"):
        check_same_grid("a", SHAPE, scaled, "b", SHAPE, AFFINES["RAS"])


def test_a_flipped_grid_is_not_the_same():
    with pytest.raises(EvaluationError, match="away from b"):
        check_same_grid("a", SHAPE, AFFINES["LAS"], "b", SHAPE, AFFINES["RAS"])


def test_an_affine_that_is_no_number_is_refused():
    with pytest.raises(EvaluationError, match="nan mm"):
        check_same_grid("a", SHAPE, np.full((4, 4), np.nan), "b", SHAPE, AFFINES["RAS"])
