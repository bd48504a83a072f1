"""Probabilities box by box equal those of one pass, for both kinds of network, at borders of scan and mask."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from shd.inference.segmentation import label_probabilities
from shd.io.segmenters import network_for
from shd.models.pq.config import SegmentationConfig
from shd.scans.q_table import QTable
from shd.scans.voxels import Voxels
from shd.sphere.directions import half_sphere
from shd.training.losses.segmentation import IGNORED
from shd.training.segmentation_patches import LabelledSignal

TABLE = QTable(
    np.repeat([0.0, 1000.0], [1, 6]), np.vstack([np.zeros(3), half_sphere(6)]), Voxels((2.0, 2.0, 2.0), True)
)
SHAPE = (13, 11, 8)


def network(kind):
    torch.manual_seed(0)
    config = SegmentationConfig(kind=kind, classes=3, pq_channels=((2, 1),), p_channels=((3, 2),))
    made = network_for(config, TABLE)
    made(torch.randn(2, 7, 6, 6, 6))  # so that running means are not their start
    return made.eval()


@pytest.fixture
def signal():
    rng = np.random.default_rng(0)
    inside = np.zeros(SHAPE, bool)
    inside[:7, 2:, 1:6] = True
    inside[11:, :3] = rng.random((2, 3, 8)) < 0.5
    data = rng.random((7, *SHAPE)).astype(np.float32) * inside
    return LabelledSignal("scan", data, np.where(inside, 0, IGNORED).astype(np.uint8))


@pytest.mark.parametrize("kind", ["equivariant", "cnn"])
@pytest.mark.parametrize("tile", [2, 5])
def test_boxes_answer_as_one_pass_does(kind, tile, signal):
    made = network(kind)
    with torch.no_grad():
        whole = made(torch.from_numpy(signal.signal)[None])[0].softmax(dim=0).numpy() * signal.mask
    counts = []
    found = label_probabilities(made, signal, tile=tile, on_tile=counts.append)
    np.testing.assert_allclose(found, whole, atol=2e-6)
    assert sum(counts) == signal.mask.sum() and len(counts) > 3
    np.testing.assert_allclose(found.sum(axis=0), signal.mask, atol=1e-5)


@pytest.mark.parametrize("kind", ["equivariant", "cnn"])
def test_an_answer_sees_no_further_than_the_radius_and_that_far(kind, signal):
    made = network(kind)
    radius, centre = made.receptive_radius, torch.zeros(1, 7, 13, 13, 13)
    with torch.no_grad():
        base = made(centre)[0, :, 6, 6, 6]
        changes = []
        for distance in (radius, radius + 1):
            changed = centre.clone()
            changed[0, :, 6 + distance, 6, 6] = 1.0
            changes.append(float((made(changed)[0, :, 6, 6, 6] - base).abs().max()))
    assert changes[0] > 0 and changes[1] == 0.0
    assert all(one > other for one, other in pairwise(changes))
