"""The picture of one fit: fODFs over three anatomical planes, and the curve of its training if it had one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shd.fodf.field import FodField
from shd.report.curves import HistoryRow, draw_curves
from shd.report.fod_drawing import BACKGROUND_WHITE, draw_fods, fibre_content, grey_window
from shd.report.plane_drawing import draw_anatomy, write_colour_key, write_letters_beside
from shd.report.planes import Plane, anatomical_planes

__all__ = ["fit_figure"]

_SQUARE, _ROW = (13.0, 12.5), (19.5, 7.6)  # inches: of the picture with a training's curve, and without
DOTS_PER_INCH = 130
PANEL_PIXELS = 780
_SIDE, _FOOT, _HEAD = 0.6, 0.7, 1.5  # inches


def fit_figure(
    path: Path,
    *,
    background: Float[np.ndarray, "x y z"],
    fod: FodField,
    history: Sequence[HistoryRow],
    title: str,
) -> None:
    """Write the picture of a fit as PNG.

    background: an anatomical volume on the grid of `fod` (the mean b=0 or diffusion-weighted signal), any units.
    fod: coefficients in scanner axes. history: one row per logged step with "step", "seconds" and loss terms, "loss"
    and "held_out" among them; without any the planes stand in a row. Radiological view; the slices and the window are
    those with the most white matter.
    """
    rows, columns = (2, 2) if history else (1, 3)
    width, height = _SQUARE if history else _ROW
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)  # no display, no global state
    margins = {"left": _SIDE / width, "right": 1 - _SIDE / width, "bottom": _FOOT / height, "top": 1 - _HEAD / height}
    panels = figure.subplots(rows, columns, gridspec_kw={**margins, "wspace": 0.16, "hspace": 0.2}).ravel()
    window = grey_window(background, fod)
    for panel, plane in zip(panels, anatomical_planes(fod.affine, fibre_content(fod)), strict=False):
        _draw_plane(panel, plane, background, window, fod)
    if history:
        draw_curves(panels[3], history)
    _write_heading(figure, title, fod)
    figure.savefig(path, format="png")


def _draw_plane(
    axes: Axes, plane: Plane, background: Float[np.ndarray, "x y z"], window: tuple[float, float], fod: FodField
) -> None:
    """Draw anatomy, glyphs, edge letters and, where the window is not the whole slice, where it lies."""
    draw_fods(axes, plane, background, window, fod, PANEL_PIXELS)
    axes.set_title(_describe(plane), fontsize=11, loc="left", pad=8)
    write_letters_beside(axes, plane)
    if plane.across != plane.whole.across or plane.along != plane.whole.along:
        _draw_locator(axes, plane, background, window)


def _describe(plane: Plane) -> str:
    """Return the plane's name, slice, and where the middle of the window lies in the scanner."""
    axis = int(np.argmax(np.abs(plane.frame[2])))
    position = round((plane.affine[:3] @ np.append(plane.voxels().mean(axis=0), 1.0))[axis])
    return f"{plane.name}, slice {plane.index} of 0…{plane.shape[plane.normal] - 1}\n{'xyz'[axis]} = {position} mm"


def _draw_locator(
    axes: Axes, plane: Plane, background: Float[np.ndarray, "x y z"], window: tuple[float, float]
) -> None:
    """Draw the whole slice small in a corner, with the window framed."""
    inset = axes.inset_axes((0.76, 0.76, 0.235, 0.235))
    draw_anatomy(inset, plane.whole, background, window, BACKGROUND_WHITE)
    left, right, bottom, top = plane.extent()
    inset.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor="yellow"))
    inset.set(xticks=[], yticks=[], aspect="equal", anchor="NE")
    for spine in inset.spines.values():
        spine.set_color("0.6")


def _write_heading(figure: Figure, title: str, fod: FodField) -> None:
    """Write the title, the key of the colours and what is drawn."""
    width, height = figure.get_size_inches()
    left, first, second = 0.45 / width, 1 - 0.45 / height, 1 - 0.8 / height
    figure.text(left, first, title, fontsize=15, fontweight="bold", va="center")
    sizes = " × ".join(f"{size:.3g}" for size in np.linalg.norm(fod.affine[:3, :3], axis=0))
    note = f"radiological view · {sizes} mm voxels · white-matter fODFs of degree {fod.degree}, one scale a plane"
    figure.text(left, second, note, fontsize=10, color="0.3", va="center")
    key = (1 - 3.3 / width, 1 - 2.35 / width, 1 - 1.3 / width)
    write_colour_key(figure, key, first)
