import pytest

from shd.models.config import ModelConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nside": 3}, "nside 3: use 1, 2, 4"),
        ({"nside": 32}, "nside 32: networks work in the eigenbasis, up to nside 16"),
        ({"levels": 5}, "5 levels: nside 8 allows 1 to 4"),
        ({"levels": 0}, "0 levels: nside 8 allows 1 to 4"),
        ({"kernel": 4}, "spatial kernel 4: use 1"),
        ({"levels": 2, "spatial_poolings": 2}, "2 spatial poolings: 2 levels allow 0 to 1"),
        ({"spatial_poolings": -1}, "-1 spatial poolings: 4 levels allow 0 to 3"),
        ({"normalisation": "layer"}, "normalisation 'layer': use one of batch, voxel, none"),
        ({"tissues": ("gm", "wm")}, "name each once, 'wm' first"),
        ({"tissues": ("wm", "gm", "gm")}, "name each once, 'wm' first"),
        ({"tissues": ()}, "name each once, 'wm' first"),
        ({"width": 0}, "must be at least 1"),
        ({"order": 0}, "must be at least 1"),
        ({"convolutions": 0}, "must be at least 1"),
        ({"input_channels": 0}, "must be at least 1"),
    ],
)
def test_what_would_fail_deep_inside_is_refused_at_once(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**{"input_channels": 4, **changes})


@pytest.mark.parametrize(("poolings", "factor"), [(0, 1), (1, 2), (3, 8)])
def test_the_spatial_factor_is_two_a_pooling(poolings, factor):
    assert ModelConfig(4, spatial_poolings=poolings).spatial_factor == factor
