"""Progress of long computations: whole and part voxels, from nothing to all."""

import numpy as np
import pytest

import shd
from shd.fitting.progress import Progress, counted, silent
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol


@pytest.mark.parametrize("pieces", [[3, 7], [2.5, 0.5, 7.0], [10 / 13] * 13, [np.float64(4.0), 6]])
def test_pieces_add_up_to_all(pieces):
    reports = []
    advance = counted("work", 10, reports.append)
    for piece in pieces:
        advance(piece)
    assert [report.stage for report in reports] == ["work"] * (1 + len(pieces))
    np.testing.assert_allclose([report.done for report in reports], [0, *np.cumsum(pieces) / 10], rtol=1e-12)
    assert reports[-1].done == pytest.approx(1)


def test_the_first_estimate_is_counted_to_its_end():
    """Its rounds are parts of a voxel each: the bar moves all the way, and only forwards."""
    phantom = crossing_phantom(60.0, shape=(4, 4, 2), protocol=Protocol("small", 2, ((1000.0, 15), (3000.0, 30))))
    done: dict[str, list[float]] = {}

    def report(progress: Progress) -> None:
        done.setdefault(progress.stage, []).append(progress.done)

    shd.fit(phantom.scan, phantom.responses, steps=1, report=report)
    for stage in ("first estimate", "inference"):
        assert done[stage][0] == 0
        assert (np.diff(done[stage]) > 0).all()
        assert done[stage][-1] == pytest.approx(1)
    assert len(done["first estimate"]) > 5


def test_silence_is_silent(capsys):
    silent(Progress("work", 0.5))
    assert capsys.readouterr() == ("", "")
