"""The picture of tractograms against the truth: valid connections in the upper row, invalid ones in the lower."""

import matplotlib.image
import numpy as np
import pytest

from shd.evaluation.tractogram_scores import Streamlines
from shd.evaluation.truth import Truth
from shd.report.tractogram_figure import tractogram_figure
from shd.simulation import crossing_phantom
from tests.support.affines import AFFINES


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize(("joined", "row"), [((1, 2), 0), ((1, 3), 1), ((1, 1), None)])
def test_streamlines_stand_in_the_row_of_their_connection(tmp_path, joined, row, number):
    affine = AFFINES["LAS"]
    truth = Truth.of(crossing_phantom(60.0, shape=(10, 10, 6), snr=None, affine=affine))
    truth.endpoints[:] = 0
    truth.endpoints[0, 5, 3], truth.endpoints[9, 5, 3] = joined
    voxels = np.stack([np.linspace(0, 9, 40), np.full(40, 5.0), np.full(40, 3.0)], axis=1)
    line = voxels @ affine[:3, :3].T + affine[:3, 3]
    streamlines = Streamlines(line.astype(np.float32), np.array([40]))
    tractogram_figure(tmp_path / "a.png", {f"name {n}": streamlines for n in range(number)}, truth)
    image = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    red = (image[..., 0] > 0.6) & (image[..., 1:] < 0.3).all(axis=-1)
    halves = [np.count_nonzero(half) for half in np.array_split(red, 2)]
    assert [count > 100 * number for count in halves] == [row == 0, row == 1]
