"""What `shd evaluate` draws: curves with the right numbers, maps of the right voxels."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from shd.evaluation.assessment import Assessment, assess_ceiling, assess_fods, assess_peaks
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.fodf.peaks import Peaks
from shd.report.evaluation_figure import evaluation_figure
from shd.simulation import crossing_phantom
from tests.support.affines import AFFINES


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth.of(crossing_phantom(60.0, shape=(10, 10, 6), snr=None, affine=AFFINES["LAS"]))


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures saved, kept to be looked into."""
    figures, save = [], Figure.savefig

    def kept(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


def results(truth: Truth) -> list[Assessment]:
    blunt = FodField(truth.ceiling(degree=6), {}, truth.affine, truth.mask)
    return [assess_ceiling(truth), assess_fods("blunt", blunt, truth, threshold=0.2)]


def test_curves_are_the_sweeps(truth, drawn, tmp_path):
    assessments = results(truth)
    evaluation_figure(tmp_path / "a.png", assessments, truth, title="a phantom")
    f1 = next(axes for axes in drawn[0].axes if axes.get_title(loc="left") == "F1, all voxels")
    for line, result in zip(f1.lines, assessments, strict=False):
        assert line.get_label() == result.name
        assert list(line.get_ydata()) == [scores.f1 for scores in result.groups["all"].sweep.scores]
    error = next(axes for axes in drawn[0].axes if axes.get_title(loc="left") == "angular error (°), two fibres")
    groups = [name for name in assessments[0].groups if name.endswith("°")]
    assert list(error.lines[1].get_ydata()) == [
        assessments[1].groups[name].sweep.at(0.2).angular_error for name in groups
    ]
    assert imread(tmp_path / "a.png").std() > 0.1


def test_every_result_has_its_map(truth, drawn, tmp_path):
    ceiling = assess_ceiling(truth)
    many = [ceiling, *(replace(ceiling, name=f"method {number}") for number in range(9))]
    evaluation_figure(tmp_path / "a.png", many, truth, title="many")
    maps = [axes for axes in drawn[0].axes if axes.images]
    assert len(maps) == 10
    shown = np.asarray(maps[0].images[0].get_array().filled(np.nan))
    scored = np.isfinite(shown)
    assert 0 < scored.sum() < shown.size
    assert {text.get_text() for text in maps[0].texts} <= set("LRPAIS")


@pytest.mark.parametrize("results", [1, 5])
def test_no_text_lies_over_another(truth, drawn, tmp_path, results):
    ceiling = assess_ceiling(truth)
    many = [ceiling, *(replace(ceiling, name=f"method {number}") for number in range(results))]
    evaluation_figure(tmp_path / "a.png", many, truth, title="a phantom")
    figure = drawn[0]
    axes_texts = [(axes.xaxis.label, axes._left_title) for axes in figure.axes]
    boxes = [text.get_window_extent() for text in [*sum(axes_texts, ()), *figure.texts] if text.get_text()]
    assert len(boxes) > 12
    assert not any(a.padded(2).overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])


def test_a_result_without_peaks_and_a_truth_without_crossings(truth, drawn, tmp_path):
    alone = replace(truth, fractions=truth.fractions * np.array([1.0, 0.0], np.float32))
    grid = truth.mask.shape
    nothing = Peaks(np.zeros((*grid, 1, 3), np.float32), np.zeros((*grid, 1), np.float32))
    evaluation_figure(tmp_path / "a.png", [assess_peaks("nothing", nothing, alone)], alone, title="empty")
    assert "no voxel with two fibres" in [text.get_text() for axes in drawn[0].axes for text in axes.texts]
