import numpy as np
import pytest

from shd.report.planes import anatomical_planes
from tests.report.affines import AFFINES

SHAPE = (7, 8, 9)
LETTERS = {"axial": ("R", "L", "P", "A"), "coronal": ("R", "L", "I", "S"), "sagittal": ("A", "P", "I", "S")}
TOWARDS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def scanner_positions(affine, shape=SHAPE):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def planes_of(affine, shape=SHAPE, **options):
    return anatomical_planes(affine, np.ones(shape), **options)


@pytest.mark.parametrize("name", AFFINES)
def test_the_letters_name_the_side_of_the_patient_that_the_image_shows_there(name):
    positions = scanner_positions(AFFINES[name])
    for plane in planes_of(AFFINES[name]):
        assert plane.letters == LETTERS[plane.name]
        left, right, bottom, top = plane.letters
        for towards, edge, opposite in (
            (right, np.s_[:, -1], np.s_[:, 0]), (left, np.s_[:, 0], np.s_[:, -1]),
            (top, np.s_[-1, :], np.s_[0, :]), (bottom, np.s_[0, :], np.s_[-1, :]),
        ):  # fmt: skip
            axis, sign = TOWARDS[towards]
            image = plane.cut(positions[..., axis])
            assert np.all(sign * (image[edge] - image[opposite]) > 0)


@pytest.mark.parametrize("name", AFFINES)
def test_each_pixel_of_the_image_lies_where_its_voxel_is_on_the_page(name):
    positions = scanner_positions(AFFINES[name])
    for plane in planes_of(AFFINES[name]):
        page = plane.turned(np.stack([plane.cut(positions[..., axis]) for axis in range(3)], axis=-1))
        rows, columns = page.shape[:2]
        left, right, bottom, top = plane.extent()
        across = left + (np.arange(columns) + 0.5) * (right - left) / columns
        along = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
        np.testing.assert_allclose(page[..., 0], np.broadcast_to(across, (rows, columns)), atol=1e-9)
        np.testing.assert_allclose(page[..., 1], np.broadcast_to(along[:, None], (rows, columns)), atol=1e-9)


@pytest.mark.parametrize("name", AFFINES)
def test_the_page_has_right_handed_axes_and_true_lengths(name):
    for plane in planes_of(AFFINES[name]):
        np.testing.assert_allclose(plane.frame @ plane.frame.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(plane.frame) == pytest.approx(1.0)
        steps = np.diff(plane.centres(np.array([[0, 0, 0], [1, 2, 3]])), axis=0)
        assert np.linalg.norm(steps) == pytest.approx(np.linalg.norm(AFFINES[name][:3, :3] @ [1, 2, 3]))


def test_a_sheared_grid_keeps_its_axes_as_nearly_as_a_rotation_can():
    affine = np.eye(4)
    affine[0, 1] = 0.2
    axial = planes_of(affine)[0]
    np.testing.assert_allclose(axial.frame @ axial.frame.T, np.eye(3), atol=1e-12)
    assert axial.frame[1, 1] > 0.99


def test_the_slice_and_the_window_with_most_weight_are_chosen():
    weight = np.zeros((40, 50, 60))
    weight[30:34, 3:7, 44:48] = 1.0
    whole = {"axial": (50, 40), "coronal": (60, 40), "sagittal": (60, 50)}  # rows, columns
    for plane in anatomical_planes(np.eye(4), weight, window=10):
        shown = plane.cut(weight)
        assert shown.shape == (10, 10)
        assert shown.sum() == 16
        assert plane.whole.cut(weight).shape == whole[plane.name]


@pytest.mark.parametrize("place", [0, 11], ids=["first", "last"])
def test_a_window_at_the_edge_stays_inside_the_volume(place):
    weight = np.zeros((12, 12, 12))
    weight[place, place, place] = 1.0
    for plane in anatomical_planes(np.eye(4), weight, window=5):
        assert plane.cut(weight).shape == (5, 5)
        assert plane.cut(weight).sum() == 1


def test_one_voxel():
    for plane in planes_of(np.eye(4), shape=(1, 1, 1)):
        assert plane.cut(np.ones((1, 1, 1))).shape == (1, 1)
        left, right, bottom, top = plane.extent()
        assert (right - left, top - bottom) == (1.0, 1.0)
