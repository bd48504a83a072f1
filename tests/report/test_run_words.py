import pytest

from shd.report.run_words import protocol_words, run_words
from tests.support.fits import record

HELD = record((3, 4, 5), 40, {})


def test_what_an_inference_was():
    words = run_words(HELD)
    assert words["command"] == "shd infer" and words["with"] == "no other file"
    assert words["volumes"] == protocol_words(HELD) == "1 at b = 0, 8 at b = 1000, 8 at b = 3000"
    assert words["model"] == "base, degree 4, tissues wm, gm, csf" and "noise" not in words and "training" not in words


@pytest.mark.parametrize(("start", "says"), [("none", "trained on this scan alone, "), ("base", "base, adapted to ")])
def test_what_a_fit_was(start, says):
    settings = {"start": start, "minutes": 0.5, "seed": 3}
    words = run_words(
        HELD | {"settings": settings, "steps": 7, "held_out_loss": {"first": 3.0, "best": 2.5},
                "scan": HELD["scan"] | {"snr": 21.34}, "inputs": {"dwi": "/d.nii", "mask": "/m.nii"}}
    )  # fmt: skip
    assert words["command"] == "shd fit" and words["model"].startswith(says) and words["with"] == "mask /m.nii"
    assert words["training"] == "7 steps in 0.5 min, seed 3; held-out loss 3 before, 2.5 at its best"
    assert words["noise"].startswith("SNR 21.3 ")


def test_a_record_that_lacks_all_or_nearly_all():
    assert run_words({}) == {}
    assert run_words({"degree": 4}) == {"command": "shd infer"}


def test_a_normalised_result():
    made = {"Balance": {"wm": 1.0, "gm": 0.9}, "Scale": 1.25}
    words = run_words(HELD | {"intensity_normalisation": made})
    assert words["command"] == "shd infer, then shd normalise"
    assert words["intensity"] == "divided by 1.25 on average; balance wm 1.000, gm 0.900"
