"""What pictures of planes share: letters at the sides where they belong, the key's colours, the greys of anatomy."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shd.report.plane_drawing import draw_anatomy, write_colour_key, write_letters, write_letters_beside
from shd.report.planes import anatomical_planes

VOLUME = np.ones((6, 5, 4))
AXIAL = anatomical_planes(np.eye(4), VOLUME)[0]


@pytest.fixture
def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_axes((0.1, 0.1, 0.8, 0.8))


@pytest.mark.parametrize(("write", "inside"), [(write_letters, True), (write_letters_beside, False)])
def test_letters_stand_at_the_sides_that_they_name(axes, write, inside):
    """Radiological view: the patient's left is on the right of the page, the front on top."""
    write(axes, AXIAL)
    axes.figure.canvas.draw()
    frame = axes.get_window_extent()
    middles = {}
    for text in axes.texts:
        box = text.get_window_extent()
        middle = (box.x0 + box.width / 2, box.y0 + box.height / 2)
        middles[text.get_text()] = axes.transAxes.inverted().transform(middle)
        assert frame.contains(*middle) == inside
    assert set(middles) == set("RLPA")
    assert middles["R"][0] < 0.1 and middles["L"][0] > 0.9 and middles["P"][1] < 0.1 and middles["A"][1] > 0.9


def test_letters_take_a_style_of_the_picture(axes):
    write_letters(axes, AXIAL, margin=0.1, color="yellow", fontsize=7)
    styles = {(text.get_color(), text.get_fontsize(), text.get_weight()) for text in axes.texts}
    assert styles == {("yellow", 7, "bold")}
    assert axes.texts[0].get_position() == (0.1, 0.5)


def test_the_window_is_drawn_from_black_to_the_brightest_grey(axes):
    volume = VOLUME * 3.0
    volume[0, 0] = np.nan
    draw_anatomy(axes, AXIAL, volume, (1.0, 3.0), 0.5)
    image = axes.images[0]
    drawn = image.cmap(image.norm(image.get_array()))[..., 0]
    assert sorted(set(drawn.round(2).ravel())) == [0.0, 0.5]


def test_the_key_names_the_colours_of_directions(axes):
    write_colour_key(axes.figure, (0.1, 0.2, 0.3), 0.9)
    key = [(text.get_text(), text.get_color(), text.get_position()) for text in axes.figure.texts]
    assert key == [
        ("left-right", "red", (0.1, 0.9)), ("front-back", "green", (0.2, 0.9)), ("up-down", "blue", (0.3, 0.9)),
    ]  # fmt: skip
