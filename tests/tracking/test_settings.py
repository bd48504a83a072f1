"""Choices that cannot be are refused with both numbers; what is left out is filled in."""

import numpy as np
import pytest

from shd.errors import SettingsError
from shd.tracking.settings import DEFAULT_ANGLES, settings_for

SIZES = np.array([2.0, 2.2, 2.5])


def test_defaults_follow_the_voxels():
    settings = settings_for(SIZES)
    assert (settings.step, settings.angle) == (1.0, DEFAULT_ANGLES["probabilistic"])
    assert (settings.seeds_per_voxel, settings.seed_count, settings.select) == (1, None, None)


def test_select_alone_has_as_many_seeds_as_it_takes():
    settings = settings_for(SIZES, select=7)
    assert (settings.seeds_per_voxel, settings.seed_count) == (None, 7000)
    assert settings_for(SIZES, select=7, seeds_per_voxel=2).seed_count is None


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"algorithm": "ifod2"}, "'ifod2': give one of deterministic, probabilistic, particle"),
        ({"step": 2.5}, "step of 2.5 mm: it must be above 0 and no larger than a voxel, 2 mm"),
        ({"step": 0.0}, "step of 0 mm"),
        ({"angle": 0.0}, "angle of 0°"),
        ({"angle": 91.0}, "angle of 91°"),
        ({"cutoff": 0.0}, "cutoff of 0"),
        ({"cutoff": float("nan")}, "cutoff of nan"),
        ({"min_length": 50.0, "max_length": 40.0}, "lengths from 50 to 40 mm"),
        ({"max_length": float("inf")}, "lengths from 10 to inf mm"),
        ({"seeds_per_voxel": 2, "seed_count": 10}, "2 seeds a voxel and 10 seeds in all: give one of them"),
        ({"seeds_per_voxel": 0}, "0 seeds a voxel: give 1 or more"),
        ({"seed_count": -1}, "-1 seeds: give 1 or more"),
        ({"select": 0}, "0 streamlines: give 1 or more"),
        ({"seed": -1}, "random seed -1"),
    ],
)
def test_what_cannot_be(choices, says):
    with pytest.raises(SettingsError, match=says.replace("(", r"\(")):
        settings_for(SIZES, **choices)
