import numpy as np
import pytest
from matplotlib import image as png

from shd.fodf.field import FodField
from shd.report.map_figure import _window, map_figure
from tests.support.affines import AFFINES

SHAPE = (10, 12, 8)


def field(affine):
    """White matter in the right half of the volume, in scanner axes."""
    position = np.stack(np.indices(SHAPE), axis=-1) @ affine[:3, :3].T
    right = position[..., 0] > np.median(position[..., 0])
    wm = np.zeros((*SHAPE, 6), np.float32)
    wm[..., 0] = 0.28
    return FodField(wm, {}, affine, np.ones(SHAPE, bool)), right


@pytest.mark.parametrize("name", ["RAS", "LAS", "LPS", "permuted"])
def test_the_patients_right_is_on_the_left_whatever_the_affine(tmp_path, name):
    fod, right = field(AFFINES[name])
    colours = np.zeros((*SHAPE, 3), np.float32)
    colours[right, 0] = 1.0  # red on the patient's right only
    map_figure(tmp_path / "maps.png", {"DEC": colours}, fod, title="test")
    picture = png.imread(tmp_path / "maps.png")[..., :3]
    red = (picture[..., 0] > 0.9) & (picture[..., 1:].max(axis=-1) < 0.1)
    rows, columns = np.nonzero(red)
    first = columns < picture.shape[1] * 0.17  # the axial panel lies at the left
    black = (picture.max(axis=-1) < 0.05)[rows[first].min() : rows[first].max()]
    axial = np.nonzero(black.all(axis=0))[0]
    axial = axial[axial < picture.shape[1] * 0.17]
    assert columns[first].mean() < axial.mean()


def test_a_map_of_nothing_can_be_drawn(tmp_path):
    fod, _ = field(AFFINES["oblique"])
    fod.wm[:] = 0.0
    maps = {"NuFO": np.zeros(SHAPE, np.float32), "fixel AFD": np.full((*SHAPE, 2), np.nan, np.float32)}
    map_figure(tmp_path / "maps.png", maps, fod, title="nothing")
    assert png.imread(tmp_path / "maps.png").std() > 0


def test_outliers_do_not_decide_the_window_and_what_is_far_from_zero_is_told_apart():
    fod, _ = field(AFFINES["RAS"])
    values = np.linspace(0.9, 1.0, fod.mask.size).reshape(SHAPE)
    np.testing.assert_allclose(_window("GFA", values, fod), (0.902, 0.998), atol=1e-3)
    values.flat[-40:] = 1e6
    low, high = _window("dispersion", values, fod)
    assert 0.9 < low < high < 1.0
    assert _window("total AFD", values, fod)[0] == 0.0
    assert _window("dispersion", np.ones(SHAPE), fod) == (0.0, 1.0)
