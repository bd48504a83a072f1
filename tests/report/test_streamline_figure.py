"""The picture of a tractogram: right colours, right side, on every affine."""

import tracemalloc

import matplotlib.image
import numpy as np
import pytest
from matplotlib.text import Text

from shd.evaluation.tractogram_scores import Streamlines
from shd.report.planes import anatomical_planes
from shd.report.streamline_figure import streamline_figure
from tests.support.affines import AFFINES

SHAPE = (20, 24, 18)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr("shd.report.streamline_figure.DOTS_PER_INCH", 50)


def drawn(path, affine, start, end):
    """Draw a fan of parallel lines between two scanner points around the middle of the volume."""
    middle = affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + affine[:3, 3]
    offsets = np.random.default_rng(0).normal(0, 1.0, (60, 1, 3))
    lines = middle + np.linspace(start, end, 30) + offsets
    streamlines = Streamlines(lines.reshape(-1, 3).astype(np.float32), np.full(60, 30))
    streamline_figure(path, streamlines=streamlines, background=np.ones(SHAPE), affine=affine, title="title")
    return matplotlib.image.imread(path)[..., :3]


def coloured(panel):
    return panel.max(axis=-1) - panel.min(axis=-1) > 0.4


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_colours_are_those_of_scanner_directions(tmp_path, name, axis):
    reach = 8.0 * np.eye(3)[axis]
    image = drawn(tmp_path / "a.png", AFFINES[name], -reach, reach)
    lower = image[len(image) // 2 :]
    colours = lower[coloured(lower) & (lower[..., 2] > 0.1 * (axis == 2))]
    hue = np.bincount(colours.argmax(axis=1), minlength=3)
    yellow = (colours[:, 0] > 0.9) & (colours[:, 1] > 0.9)
    assert hue[axis] > 100 and hue[axis] > 5 * (hue.sum() - hue[axis] - yellow.sum())


def test_the_left_of_the_patient_is_on_the_right_of_the_page(tmp_path):
    for name in ("RAS", "LAS", "permuted"):
        image = drawn(tmp_path / "a.png", AFFINES[name], np.array([-14.0, 0, 0]), np.array([-8.0, 0, 0]))
        axial = image[int(0.55 * len(image)) :, : image.shape[1] // 3]
        red = coloured(axial) & (axial.argmax(axis=-1) == 0) & (axial[..., 1] < 0.5)
        assert np.flatnonzero(red.any(axis=0)).mean() > 0.55 * axial.shape[1]


def test_many_streamlines_are_thinned_and_none_within_a_plane_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr("shd.report.streamline_figure._MOST_SEGMENTS", 100)
    image = drawn(tmp_path / "a.png", AFFINES["RAS"], np.array([0.0, 0, -8]), np.array([0.0, 0, 8]))
    assert image.shape[0] > 300


def test_memory_does_not_grow_with_the_tractogram(tmp_path, monkeypatch):
    """Two million points, 24 MB: all count for the slices, few are drawn; less than 25 bytes a point come on top."""
    monkeypatch.setattr("shd.report.streamline_figure._MOST_SEGMENTS", 1000)  # matplotlib's own are bounded by these
    number, each = 15_625, 128
    along = np.linspace(-8, 8, each, dtype=np.float32)[:, None] * np.float32([0, 1, 0])
    offsets = np.random.default_rng(0).normal(10, 2, (number, 1, 3)).astype(np.float32)
    streamlines = Streamlines((offsets + along).reshape(-1, 3), np.full(number, each))
    tracemalloc.start()
    streamline_figure(
        tmp_path / "a.png", streamlines=streamlines, background=np.ones(SHAPE), affine=np.eye(4), title="title"
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_slices_are_those_with_most_of_all_streamlines(tmp_path, monkeypatch):
    """Also of those that are not drawn: here one of a hundred is, elsewhere than the others."""
    monkeypatch.setattr("shd.report.streamline_figure._MOST_POINTS", 100)
    monkeypatch.setattr("shd.report.streamline_figure._BLOCK", 7)
    planes = []
    monkeypatch.setattr(
        "shd.report.streamline_figure.anatomical_planes",
        lambda *given: planes.extend(anatomical_planes(*given)) or planes,
    )
    lines = np.full((100, 100, 3), [4.0, 5.0, 6.0], np.float32)
    lines[0] = 12.0
    streamlines = Streamlines(lines.reshape(-1, 3), np.full(100, 100))
    streamline_figure(
        tmp_path / "a.png", streamlines=streamlines, background=np.ones(SHAPE), affine=np.eye(4), title=""
    )
    assert [plane.index for plane in planes] == [6, 5, 4]


def test_words_of_the_picture_do_not_touch(tmp_path, monkeypatch):
    """The first panel's title lies below the two lines under the heading."""
    seen = []
    monkeypatch.setattr("shd.report.streamline_figure.Figure.savefig", lambda figure, *_, **__: seen.append(figure))
    lines = np.linspace([2.0, 2, 2], [17, 21, 15], 50, dtype=np.float32)
    streamline_figure(
        tmp_path / "a.png", streamlines=Streamlines(lines, np.array([50])), background=np.ones(SHAPE),
        affine=np.eye(4), title="title", notes=("one line", "another"),
    )  # fmt: skip
    seen[0].canvas.draw()
    notes = next(text for text in seen[0].texts if "another" in text.get_text()).get_window_extent()
    titles = [text for text in seen[0].findobj(Text) if text.get_text().startswith("axial")]
    title = titles[0].get_window_extent()
    assert notes.y0 - title.y1 > 0.4 * title.height
