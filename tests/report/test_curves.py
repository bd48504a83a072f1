import numpy as np
from matplotlib.figure import Figure

from shd.report.curves import draw_curves, loss_figure


def drawn(history):
    axes = Figure().subplots()
    draw_curves(axes, history)
    return axes, {line.get_label(): line.get_xydata() for line in axes.lines}


def test_every_term_is_drawn_where_it_has_values():
    history = [
        {"step": 1, "seconds": 1.0, "loss": 3.0, "total_variation": 0.5},
        {"step": 2, "seconds": 2.0, "loss": 2.0, "total_variation": 0.4, "held_out": 2.5},
        {"step": 3, "seconds": 90.0, "loss": 1.0, "total_variation": 0.3, "held_out": None},
    ]
    axes, lines = drawn(history)
    assert set(lines) == {"loss", "held out", "total variation"}
    np.testing.assert_array_equal(lines["loss"], [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(lines["held out"], [[2, 2.5]])
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "step  (1.5 min)"


def test_zero_and_nan_are_left_out_of_the_logarithmic_axis():
    history = [{"step": i, "seconds": i, "loss": v, "negativity": 0.0} for i, v in enumerate([np.nan, 0.0, 2.0, 1.0])]
    _, lines = drawn(history)
    assert set(lines) == {"loss"}
    np.testing.assert_array_equal(lines["loss"], [[2, 2], [3, 1]])


def test_no_history_says_so():
    axes, lines = drawn([])
    assert not lines
    assert axes.texts[0].get_text() == "no training history"


def test_shares_have_a_panel_of_their_own(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    history = [{"step": step, "loss": 2.0 - step, "precision": step / 4} for step in range(3)]
    loss_figure(tmp_path / "a.png", history, "title", ["precision"])
    upper, lower = figures[0].axes
    assert [line.get_label() for line in upper.lines] == ["loss"] and upper.get_yscale() == "log"
    np.testing.assert_array_equal(lower.lines[0].get_xydata(), [[0, 0], [1, 0.25], [2, 0.5]])
    assert lower.get_ylim() == (0, 1)
