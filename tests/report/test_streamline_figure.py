"""The picture of a tractogram: right colours, right side, on every affine."""

import matplotlib.image
import numpy as np
import pytest

from shd.evaluation.tractogram_scores import Streamlines
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
