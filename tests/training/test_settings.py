"""Settings of a fit that cannot be are refused before anything is computed."""

import pytest

from shd.errors import SettingsError
from shd.training.settings import FitSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": 1, "minutes": 1.0}, "minutes 1.0 and steps 1: give one of the two"),
        ({}, "minutes None and steps None"),
        ({"steps": 0}, "steps 0: give 1 or more"),
        ({"steps": -5}, "steps -5"),
        ({"minutes": 0.0}, "minutes 0.0: give more than 0"),
        ({"minutes": float("nan")}, "minutes nan"),
        ({"steps": 1, "seed": -1}, "seed -1: give 0 or more"),
        ({"steps": 1, "tile": 7}, "tile 7: give an even number from 2"),
        ({"steps": 1, "tile": 0}, "tile 0"),
        ({"steps": 1, "threads": 0}, "threads 0"),
        ({"steps": 1, "engine": "foo"}, "engine 'foo': give one of auto,"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(SettingsError, match=said):
        FitSettings(**wrong)
