"""Networks for voxel-wise prediction, as those that train and apply them see them."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from shd.errors import SettingsError
from shd.models.pq.config import SegmentationConfig
from shd.models.pq.segmenter import build_segmenter, parameter_count
from tests.models.pq.q_samples import shell

SMALL = SegmentationConfig(pq_channels=((4, 2),), p_channels=((6, 3),))
kinds = pytest.mark.parametrize("kind", ["equivariant", "cnn"])


@kinds
@pytest.mark.parametrize("classes", [1, 3])
def test_logits_stand_on_the_grid_of_the_signal(kind, classes):
    network = build_segmenter(replace(SMALL, kind=kind, classes=classes), shell(4, unweighted=2))
    assert network(torch.randn(2, 6, 5, 4, 3)).shape == (2, classes, 5, 4, 3)


@kinds
@pytest.mark.parametrize("q_reduction", ["length", "mean", "convolution"])
def test_nothing_beyond_the_receptive_radius_has_influence(kind, q_reduction):
    config = replace(SMALL, kind=kind, q_reduction=q_reduction)
    network = build_segmenter(config, shell(3)).eval()
    x = torch.randn(5, 3, 2 * network.receptive_radius + 3, 3, 3, requires_grad=True)
    network(x)[:, 0, -1].sum().backward()
    seen = x.grad.abs().amax(dim=(0, 1, 3, 4)).flip(0) > 0
    assert seen.tolist() == [place <= network.receptive_radius for place in range(len(seen))]


def test_a_configuration_survives_json():
    config = SegmentationConfig(classes=3, angular=("pq_diff", "p"), radial="learnt")
    assert SegmentationConfig(**json.loads(json.dumps(asdict(config)))) == config


def test_the_rivals_have_about_the_same_number_of_parameters():
    for config in (SegmentationConfig(), SegmentationConfig(classes=3, angular=("pq_diff", "p"))):
        ours, rival = (build_segmenter(replace(config, kind=kind), shell(6)) for kind in ("equivariant", "cnn"))
        assert parameter_count(rival) == pytest.approx(parameter_count(ours), rel=0.1)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "unet"}, {"classes": 0}, {"pq_channels": ()}, {"kernel_size": 4}, {"q_reduction": "max"}],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(SettingsError):
        SegmentationConfig(**changes)
