"""Each concern alone, from the number that gives rise to it; a sound result has none."""

from dataclasses import replace

import numpy as np
import pytest

from shd.report.concerns import concerns
from shd.report.result_numbers import ResultNumbers

SOUND = ResultNumbers(
    voxels=100, volume=1.0, white_voxels=40, fibres=(40, 30, 20, 10, 0, 0), white_fibres=(1, 19, 15, 5, 0, 0),
    density=0.8, amplitude=1.0, mean={"wm": 0.4, "gm": 0.4, "csf": 0.2}, median={"wm": 0.3, "gm": 0.5, "csf": 0.0},
    tissue_sum=1.0, residual=1.0,
)  # fmt: skip
RECORD = {
    "scan": {"snr": 20.0}, "warnings": [], "gradient_coherence": {"verdict": "confirmed", "message": "agree"},
    "held_out_loss": {"first": 2.0, "best": 1.0},
}  # fmt: skip


def test_a_sound_result_has_none():
    assert concerns(RECORD, SOUND) == []
    assert concerns({}, replace(SOUND, tissue_sum=None, residual=None, mean={})) == []


@pytest.mark.parametrize(
    ("record", "numbers", "says"),
    [
        ({"gradient_coherence": {"verdict": "inconsistent", "message": "flip x"}}, {}, "flip x"),
        ({"warnings": ["outside of"]}, {}, "warning of the run: outside of"),
        ({"held_out_loss": {"first": 2.0, "best": 2.0}}, {}, "the held-out loss was 2 before and never lower"),
        ({"scan": {"snr": 9.9}}, {}, "SNR 9.9 of the b = 0 signal is below 10"),
        ({}, {"white_voxels": 0, "white_fibres": (0,) * 6}, "0 of 100 voxels are more than half white matter"),
        ({}, {"white_fibres": (4, 36, 0, 0, 0, 0)}, "10.0% of white matter has no fibre"),
        ({}, {"white_fibres": (4, 36, 0, 0, 0, 0), "mean": {}}, "10.0% of the mask has no fibre"),
        ({}, {"tissue_sum": 0.5}, "the tissues sum to 0.50 in the median voxel, not to 0.7 to 1.3"),
        ({}, {"tissue_sum": 1.4}, "the tissues sum to 1.40"),
        ({}, {"residual": 1.6}, "explained to 1.60 times the noise only"),
    ],
)
def test_each_alone(record, numbers, says):
    found = concerns(RECORD | record, replace(SOUND, **numbers))
    assert len(found) == 1 and says in found[0], found


def test_what_the_run_warned_of_the_gradients_is_said_once():
    record = {"gradient_coherence": {"verdict": "inconsistent", "message": "flip x"}, "warnings": ["flip x"]}
    assert concerns(record, SOUND) == ["warning of the run: flip x"]


def test_of_one_tissue_the_residual_says_nothing():
    assert concerns(RECORD, replace(SOUND, mean={}, tissue_sum=None, residual=2.5)) == []


def test_numbers_that_are_unknown_are_no_concern():
    assert concerns({"scan": {"snr": None}, "held_out_loss": None}, replace(SOUND, density=np.nan)) == []
