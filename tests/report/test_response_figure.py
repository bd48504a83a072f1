"""The picture of a group's responses, and which scans it names."""

import matplotlib.image
import numpy as np
import pytest

from shd.report.response_figure import far_from_others, response_figure
from shd.signal.response import Response
from shd.signal.response_average import mean_response, relative_gains
from tests.support.fits import BVALUES, ROWS


@pytest.mark.parametrize(
    ("values", "far"),
    [([1.0, 1.1, 0.9, 1.05, 0.95], []), ([1.0, 1.1, 0.9, 1.05, 3.0], [4]), ([1.0, 1.0, 1.0, 1.0, 0.5], [4]),
     ([1.0, 1.0], []), ([0.2, 1.0, 1.01, 0.99, 5.0], [0, 4])],
)  # fmt: skip
def test_scans_far_from_the_others(values, far):
    assert far_from_others(np.array(values)) == far


def drawn(path, gains_of, tissues=("wm", "gm", "csf")):
    own = {tissue: [Response(tissue, BVALUES, gain * ROWS[tissue]) for gain in gains_of] for tissue in tissues}
    means = [mean_response(own[tissue]) for tissue in tissues]
    gains = {tissue: relative_gains(own[tissue]) for tissue in tissues}
    response_figure(path, means, own, gains, [f"sub-{index}" for index in range(len(gains_of))])
    return matplotlib.image.imread(path)


def test_a_panel_a_tissue_and_one_of_the_gains(tmp_path):
    three, one = drawn(tmp_path / "a.png", (1, 2, 0.5)), drawn(tmp_path / "b.png", (1, 2, 0.5), ("wm",))
    assert three.shape[1] == 2 * one.shape[1] and three.shape[0] == one.shape[0]
    assert 0.01 < (three[..., :3].min(axis=-1) < 0.9).mean() < 0.5
    again = drawn(tmp_path / "c.png", (1, 2, 0.5))
    np.testing.assert_array_equal(three, again)
    assert not np.array_equal(three, drawn(tmp_path / "d.png", (1, 2, 0.25)))
