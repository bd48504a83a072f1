import matplotlib.image
import numpy as np
import pytest

from shd.fodf.field import FodField
from shd.report.figures import fit_figure
from shd.sphere.harmonics import coefficient_count
from tests.report.affines import AFFINES
from tests.report.test_glyphs import field, single_fibre

HISTORY = [{"step": step, "seconds": step * 0.5, "loss": 1 / (step + 1), "held_out": 1.2} for step in range(5)]


def picture(tmp_path, fod, background=None, history=HISTORY):
    path = tmp_path / "fit.png"
    if background is None:
        background = np.linspace(0, 1, fod.mask.size).reshape(fod.mask.shape)
    fit_figure(path, background=background, fod=fod, history=history, title="a scan")
    return matplotlib.image.imread(path)[..., :3]


def coloured(image):
    """How many pixels are clearly red, green and blue."""
    others = np.stack([np.delete(image, channel, axis=-1).max(axis=-1) for channel in range(3)], axis=-1)
    return (image - others > 0.4).sum(axis=(0, 1))


@pytest.mark.parametrize("channel", [0, 1, 2], ids=["left-right red", "front-back green", "up-down blue"])
def test_the_colour_of_each_scanner_axis(tmp_path, channel):
    blank = FodField(
        wm=np.zeros((5, 6, 7, 45), dtype=np.float32), isotropic={}, affine=AFFINES["permuted"],
        mask=np.ones((5, 6, 7), dtype=bool),
    )  # fmt: skip
    added = coloured(picture(tmp_path, field(AFFINES["permuted"], single_fibre(np.eye(3)[channel]))))
    added -= coloured(picture(tmp_path, blank))
    assert added.argmax() == channel
    assert added[channel] > 1000
    assert np.delete(added, channel).max() < 0.05 * added[channel]


def test_a_volume_larger_than_the_window_is_drawn_with_its_locator(tmp_path):
    fod = field(AFFINES["oblique"], single_fibre([1, 0, 0], degree=2), shape=(40, 30, 3))
    assert picture(tmp_path, fod).std() > 0.05


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 4, 1)], ids=["one voxel", "one slice"])
def test_thin_volumes(tmp_path, shape):
    fod = field(AFFINES["RAS"], single_fibre([0, 1, 0]), shape=shape)
    assert picture(tmp_path, fod, history=[]).std() > 0.01


@pytest.mark.parametrize("name", ["RAS", "permuted"])
def test_without_a_training_the_planes_fill_the_picture(tmp_path, name):
    fod = field(AFFINES[name], single_fibre([0, 1, 0]), shape=(8, 8, 8))
    image = picture(tmp_path, fod, np.zeros(fod.mask.shape), history=[])
    drawn = image.mean(axis=-1) < 0.5  # slices are black where no fibre is
    assert image.shape[1] > 2.4 * image.shape[0]
    assert all(third.mean() > 0.25 for third in np.array_split(drawn, 3, axis=1))


def test_no_fibre_and_a_flat_background_with_nan(tmp_path):
    fod = field(AFFINES["LAS"], np.zeros(coefficient_count(4)))
    background = np.ones(fod.mask.shape)
    background[0, 0, 0] = np.nan
    assert np.isfinite(picture(tmp_path, fod, background)).all()


def test_float32_background_and_empty_mask(tmp_path):
    fod = field(AFFINES["LPS"], single_fibre([0, 0, 1]))
    fod.mask[...] = False
    assert picture(tmp_path, fod, np.ones(fod.mask.shape, dtype=np.float32)).size
