"""What `shd evaluate --scan` draws."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from shd.evaluation.cross_validation import Prediction, ShellPrediction
from shd.evaluation.split_half import Agreement
from shd.report.prediction_figure import prediction_figure
from shd.simulation import crossing_phantom


@pytest.fixture(scope="module")
def scan():
    return crossing_phantom(60.0, shape=(8, 8, 5), snr=None).scan


def found(scan, relative: float) -> tuple[Prediction, Agreement]:
    shells = tuple(ShellPrediction(1000.0 * n, 30, 21.0, 20.0, relative) for n in (1, 2, 3))
    angles = np.where(scan.mask, 10.0 * relative, np.nan)
    return (
        Prediction(shells, relative, np.where(scan.mask, relative, np.nan)),
        Agreement(int(scan.mask.sum()), 10.0, 11.0, 0.8, 0.9, angles),
    )


@pytest.mark.parametrize("which", ["both", "held out", "halves"])
def test_a_row_an_evaluation_and_a_map_a_method(scan, tmp_path, monkeypatch, which):
    figures, save = [], Figure.savefig

    def kept(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    ours, rivals = found(scan, 1.05), found(scan, 1.3)
    predictions = {"shd": ours[0], "CSD": rivals[0]} if which != "halves" else {}
    agreements = {"shd": ours[1], "CSD": rivals[1]} if which != "held out" else {}
    prediction_figure(tmp_path / "a.png", scan, predictions, agreements)
    maps = [axes for axes in figures[0].axes if axes.images]
    assert len(maps) == len(predictions) + len(agreements)
    assert imread(tmp_path / "a.png").std() > 0.1
    if predictions:
        bars = [patch.get_height() for patch in figures[0].axes[0].patches]
        assert bars == [1.05] * 3 + [1.3] * 3
        assert maps[0].get_title(loc="left") == "shd: 1.050 times the noise"
