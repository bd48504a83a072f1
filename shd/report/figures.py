"""The picture of one fit: fODFs over three anatomical planes, and the curve of its training."""

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

INCHES = 13.0
DOTS_PER_INCH = 130
PANEL_PIXELS = 780
_MARGINS = {"left": 0.045, "right": 0.965, "bottom": 0.055, "top": 0.88, "wspace": 0.16, "hspace": 0.2}


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
    and "held_out" among them. Radiological view; the slices and the window are those with the most white matter.
    """
    figure = Figure(figsize=(INCHES, INCHES * 0.96), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)  # no display, no global state
    panels = figure.subplots(2, 2, gridspec_kw=_MARGINS).ravel()
    window = grey_window(background, fod)
    for panel, plane in zip(panels, anatomical_planes(fod.affine, fibre_content(fod)), strict=False):
        _draw_plane(panel, plane, background, window, fod)
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
    figure.text(0.035, 0.965, title, fontsize=15, fontweight="bold", va="center")
    sizes = " × ".join(f"{size:.3g}" for size in np.linalg.norm(fod.affine[:3, :3], axis=0))
    note = f"radiological view · {sizes} mm voxels · white-matter fODFs of degree {fod.degree}, one scale a plane"
    figure.text(0.035, 0.938, note, fontsize=10, color="0.3", va="center")
    write_colour_key(figure, (0.76, 0.83, 0.905), 0.965)
