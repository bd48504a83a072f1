"""The pictures of a page: sides, colours, and volumes of any shape."""

import io

import numpy as np
import pytest
from matplotlib import image as png

from shd.fodf.field import FodField
from shd.fodf.peaks import Peaks
from shd.report.result_figures import (
    Shown,
    charts_figure,
    directions_figure,
    main_directions,
    planes_figure,
    result_planes,
    tissue_shares,
)
from shd.signal.response import Response
from tests.report.affines import AFFINES
from tests.report.test_concerns import SOUND
from tests.report.test_glyphs import field, single_fibre
from tests.support.fits import BVALUES, ROWS
from tests.support.results import HISTORY


def shown_of(fod, directions=None, shares=None):
    colours = np.zeros((*fod.mask.shape, 3)) if directions is None else directions
    return Shown(fod, result_planes(fod), np.ones(fod.mask.shape), "mean b = 0", colours, shares)


def drawn(draw, *arguments):
    return png.imread(io.BytesIO(draw(*arguments)))[..., :3]


def right_quarter(affine, shape):
    """Voxels in the patient's rightmost quarter."""
    x = (np.stack(np.indices(shape), axis=-1) @ affine[:3, :3].T)[..., 0]
    return x > np.quantile(x, 0.75)


@pytest.mark.parametrize("name", AFFINES)
def test_the_masks_outline_lies_on_the_side_of_the_mask(name):
    fod = field(AFFINES[name], single_fibre([0, 0, 1], degree=2), shape=(8, 9, 10))
    fod.mask[...] = right_quarter(AFFINES[name], fod.mask.shape)
    picture = drawn(planes_figure, shown_of(fod))
    top = picture[: picture.shape[1] // 3, : picture.shape[1] // 3]  # the axial slice of the first row
    rows, columns = np.nonzero((np.abs(top - [0.84, 0.15, 0.16]) < 0.12).all(axis=-1))
    assert len(rows) > 300 and columns.mean() < 0.5 * top.shape[1]  # the patient's right is on the left


@pytest.mark.parametrize("channel", [0, 1, 2], ids=["left-right red", "front-back green", "up-down blue"])
def test_the_colour_of_each_scanner_axis_on_the_slices(channel):
    axis = np.eye(3)[channel]
    peaks = Peaks(np.broadcast_to(axis, (5, 6, 7, 2, 3)).astype(np.float32), np.ones((5, 6, 7, 2), np.float32))
    colours = main_directions(peaks)
    np.testing.assert_allclose(colours, np.broadcast_to(axis, (5, 6, 7, 3)))
    fod = field(AFFINES["oblique"], single_fibre(axis, degree=2))
    picture = drawn(directions_figure, shown_of(fod, colours))
    assert (picture[..., channel] > 0.9).mean() > 0.3
    assert np.delete(picture, channel, axis=-1)[picture[..., channel] > 0.9].mean() < 0.05


def test_brightness_is_the_height_of_the_peak_and_none_is_black():
    heights = np.array([0.0, 0.5, 1.0, 1.0, 1.0, 40.0]).reshape(6, 1, 1, 1)
    directions = np.zeros((6, 1, 1, 1, 3))
    directions[..., 2] = 1.0
    blue = main_directions(Peaks(directions, heights))[:, 0, 0, 2]
    assert blue[0] == 0 and 0 < blue[1] < blue[2] == blue[3] < 1.0 == blue[5]
    assert not main_directions(Peaks(directions, 0 * heights)).any()


@pytest.mark.parametrize(("slices", "rows"), [(1, 1), (6, 1), (7, 2), (18, 3), (40, 3)])
def test_as_many_slices_as_there_is_room_for(slices, rows):
    fod = field(AFFINES["RAS"], single_fibre([1, 0, 0], degree=2), shape=(8, 8, slices))
    colours = np.ones((8, 8, slices, 3))
    picture = drawn(directions_figure, shown_of(fod, colours))
    side = picture.shape[1] / 6
    assert picture.shape[0] == pytest.approx(rows * side * min(1.5, 1.3), abs=rows)  # voxels of 1 × 1.5 mm
    filled = (picture.mean(axis=-1) > 0.9).mean()
    assert filled == pytest.approx(min(slices, 18) / (6 * rows), abs=0.16)


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 4, 1), (40, 30, 3), (2, 60, 2)])
def test_volumes_of_any_shape_have_their_pictures(shape):
    fod = field(AFFINES["permuted"], single_fibre([0, 1, 0], degree=4), shape=shape)
    shares = np.full((*shape, 3), 1 / 3)
    assert drawn(planes_figure, shown_of(fod, shares=shares)).std() > 0.05
    assert drawn(directions_figure, shown_of(fod, np.ones((*shape, 3)))).size


def test_tissues_are_a_row_more():
    fod = field(AFFINES["LAS"], single_fibre([0, 1, 0], degree=2))
    without, beside = (drawn(planes_figure, shown_of(fod, shares=each)) for each in (None, np.ones((5, 6, 7, 3))))
    assert len(beside) > 1.2 * len(without)


def test_shares_of_tissues_that_were_not_fitted_are_zero():
    white, fluid = np.full((2, 2, 2), 0.75, np.float32), np.full((2, 2, 2), 0.25, np.float32)
    shares = tissue_shares({"fraction_wm": white, "fraction_csf": fluid, "nufo": white})
    assert (shares == [0.75, 0.0, 0.25]).all()
    assert tissue_shares({"nufo": white}) is None


def test_a_panel_for_each_thing_there_is():
    responses = [Response(tissue, BVALUES, rows) for tissue, rows in ROWS.items()]
    given = (((), ()), (responses, ()), (responses, HISTORY))
    widths = [drawn(charts_figure, SOUND, *each).shape[1] for each in given]
    assert widths == [325, 975, 1300]


def test_a_field_of_nothing():
    fod = FodField(np.zeros((3, 3, 3, 6), np.float32), {}, AFFINES["LPS"], np.ones((3, 3, 3), bool))
    assert np.isfinite(drawn(planes_figure, shown_of(fod))).all()
