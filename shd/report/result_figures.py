"""The pictures of one result on its page: anatomical planes, directions slice by slice, and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from shd.fodf.field import FodField
from shd.fodf.peaks import Peaks
from shd.report.curves import HistoryRow, draw_curves
from shd.report.fod_drawing import BACKGROUND_WHITE, draw_fods, fibre_content, grey_window
from shd.report.plane_drawing import draw_anatomy, mixed_tissues, write_colour_key, write_letters
from shd.report.planes import Plane, anatomical_planes
from shd.report.response_curves import draw_angles, draw_decay
from shd.report.result_numbers import ResultNumbers
from shd.signal.response import Response

__all__ = [
    "Shown", "charts_figure", "directions_figure", "main_directions", "planes_figure", "result_planes",
    "tissue_shares",
]  # fmt: skip

INCHES, DOTS_PER_INCH = 13.0, 100
WINDOW = 18  # voxels of the glyph panels along an edge
GLYPH_PIXELS = 640
_COLUMNS, _MOST_SLICES = 6, 18
_BRIGHTEST = 95.0  # percentile of the amplitudes that is drawn at full brightness
_TALLEST = 1.3  # of a panel's width: elongated crops would make the page long
_OUTLINE = [Stroke(linewidth=2, foreground="black"), Normal()]
_LETTERS: dict[str, Any] = {"color": "yellow", "fontweight": "normal", "fontsize": 9, "path_effects": _OUTLINE}


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of a result.

    planes: of `result_planes`. background: anatomy, called `ground`. directions: colours. shares: of white matter, grey
    matter and CSF, where several tissues were fitted.
    """

    fod: FodField
    planes: list[Plane]
    background: Float[np.ndarray, "x y z"]
    ground: str
    directions: Float[np.ndarray, "x y z 3"]
    shares: Float[np.ndarray, "x y z 3"] | None


def result_planes(fod: FodField) -> list[Plane]:
    """Return the axial, coronal and sagittal plane with most white matter, their windows small enough for glyphs."""
    return anatomical_planes(fod.affine, fibre_content(fod), window=WINDOW)


def main_directions(peaks: Peaks) -> Float[np.ndarray, "x y z 3"]:
    """Return |x|, |y|, |z| of each voxel's highest peak, scanner axes, as bright as it is high: red, green, blue."""
    height = peaks.amplitudes[..., 0].astype(np.float64)
    present = height[height > 0]
    top = float(np.percentile(present, _BRIGHTEST)) if present.size else 1.0
    return np.abs(peaks.directions[..., 0, :]) * np.minimum(height / top, 1.0)[..., None]


def tissue_shares(maps: Mapping[str, Float[np.ndarray, "x y z *each"]]) -> Float[np.ndarray, "x y z 3"] | None:
    """Return the shares of WM, GM and CSF, zero for a tissue that was not fitted; None where one tissue was alone."""
    if "fraction_wm" not in maps:
        return None
    none = np.zeros_like(maps["fraction_wm"])
    return np.stack([maps.get(f"fraction_{tissue}", none) for tissue in ("wm", "gm", "csf")], axis=-1)


def planes_figure(shown: Shown) -> bytes:
    """Return PNG: a column for each anatomical plane, through the slice with most white matter, in radiological view.

    Rows: anatomy with the outline of the mask; in the window framed there, glyphs of the fODFs; main directions in
    colour; tissues, where there are several.
    """
    planes = shown.planes
    rows = ["anatomy", "fODFs", "directions"] + (["tissues"] if shown.shares is not None else [])
    heights = [max(_aspect(plane if row == "fODFs" else plane.whole) for plane in planes) for row in rows]
    height = INCHES / 3 * sum(heights) + 0.28 * len(rows) + 0.5
    figure = Figure(figsize=(INCHES, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)  # no display, no global state
    margins = {"left": 0.025, "right": 0.995, "bottom": 0.01, "top": 1 - 0.5 / height, "wspace": 0.03, "hspace": 0.04}
    panels = figure.subplots(len(rows), 3, gridspec_kw={"height_ratios": heights, **margins}, squeeze=False)
    window = grey_window(shown.background, shown.fod)
    for row, name in enumerate(rows):
        for axes, plane in zip(panels[row], planes, strict=True):
            _draw_panel(axes, plane, name, shown, window)
        panels[row, 0].set_ylabel(shown.ground if name == "anatomy" else name, fontsize=11, labelpad=3)
    for axes, plane in zip(panels[0], planes, strict=True):
        axes.set_title(f"{plane.name}, slice {plane.index} of 0…{plane.shape[plane.normal] - 1}", fontsize=10, pad=4)
    write_colour_key(figure, (0.03, 0.10, 0.18), 1 - 0.15 / height, fontsize=10.0)
    return _png(figure)


def _aspect(plane: Plane) -> float:
    left, right, bottom, top = plane.extent()
    return min((top - bottom) / (right - left), _TALLEST)


def _draw_panel(axes: Axes, plane: Plane, name: str, shown: Shown, window: tuple[float, float]) -> None:
    """Draw one row's panel of a plane."""
    axes.set_facecolor("black")
    if name == "anatomy":
        draw_anatomy(axes, plane.whole, shown.background, window, BACKGROUND_WHITE)
        _draw_outline(axes, plane.whole, shown.fod)
        left, right, bottom, top = plane.extent()
        if plane.extent() != plane.whole.extent():
            axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor="yellow"))
    elif name == "fODFs":
        draw_fods(axes, plane, shown.background, window, shown.fod, GLYPH_PIXELS)
    elif name == "directions":
        _draw_colours(axes, plane.whole, shown.directions)
    else:
        assert shown.shares is not None
        _draw_colours(axes, plane.whole, mixed_tissues(shown.shares))
    axes.set(xticks=[], yticks=[], aspect="equal")
    write_letters(axes, plane, **_LETTERS)


def _draw_colours(axes: Axes, plane: Plane, colours: Float[np.ndarray, "x y z 3"]) -> None:
    image = np.stack([plane.cut(colours[..., channel]) for channel in range(3)], axis=-1)
    axes.imshow(np.clip(image, 0.0, 1.0), extent=plane.extent(), origin="lower", interpolation="nearest")


def _draw_outline(axes: Axes, plane: Plane, fod: FodField) -> None:
    """Draw the sides of voxels at which the mask ends."""
    inside = np.pad(plane.cut(fod.mask), 1)  # a mask that reaches the edge ends there
    left, right, bottom, top = plane.extent()
    rows, columns = inside.shape
    across, along = (right - left) / (columns - 2), (top - bottom) / (rows - 2)
    row, column = np.nonzero(inside[:, 1:] != inside[:, :-1])
    begin = np.stack([left + across * column, bottom + along * (row - 1)], axis=-1)
    sides = [np.stack([begin, begin + np.array([0.0, along])], axis=1)]
    row, column = np.nonzero(inside[1:] != inside[:-1])
    begin = np.stack([left + across * (column - 1), bottom + along * row], axis=-1)
    sides.append(np.stack([begin, begin + np.array([across, 0.0])], axis=1))
    axes.add_collection(LineCollection(list(np.concatenate(sides)), colors="tab:red", linewidths=1.2))
    axes.set(xlim=(left, right), ylim=(bottom, top))


def directions_figure(shown: Shown) -> bytes:
    """Return PNG: main directions in colour on up to 18 axial slices, evenly through the mask, from low to high."""
    axial = shown.planes[0].whole
    held = np.flatnonzero(shown.fod.mask.any(axis=(axial.right, axial.up)))
    if axial.affine[2, axial.normal] < 0:
        held = held[::-1]
    chosen = held[np.linspace(0, len(held) - 1, min(len(held), _MOST_SLICES) + 2).round().astype(int)[1:-1]]
    chosen = held if len(held) <= _MOST_SLICES else chosen
    rows = -(-len(chosen) // _COLUMNS)
    side = INCHES / _COLUMNS
    figure = Figure(figsize=(INCHES, side * rows * _aspect(axial)), dpi=DOTS_PER_INCH, facecolor="black")
    FigureCanvasAgg(figure)
    margins = {"left": 0.0, "right": 1.0, "bottom": 0.0, "top": 1.0, "wspace": 0.01, "hspace": 0.01}
    panels = figure.subplots(rows, _COLUMNS, gridspec_kw=margins, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, index in zip(panels, chosen, strict=False):
        _draw_colours(axes, replace(axial, index=int(index)), shown.directions)
        axes.text(0.03, 0.97, str(index), transform=axes.transAxes, color="0.8", fontsize=8, ha="left", va="top")
    write_letters(panels[0], axial, **_LETTERS)
    return _png(figure)


def charts_figure(
    numbers: ResultNumbers,
    responses: Sequence[Response],
    history: Sequence[HistoryRow],
) -> bytes:
    """Return PNG: fibres a voxel; the responses over angle and b, where there are any; the training, if one was."""
    drawings = 1 + 2 * bool(responses) + bool(history)
    figure = Figure(figsize=(INCHES * drawings / 4, 3.4), dpi=DOTS_PER_INCH, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, drawings, squeeze=False)[0])
    _draw_fibres(panels.pop(0), numbers)
    if responses:
        draw_angles(panels.pop(0), responses[0])
        draw_decay(panels.pop(0), responses)
    if history:
        axes = panels.pop(0)
        draw_curves(axes, history)
        axes.set_title("training")
    return _png(figure)


def _draw_fibres(axes: Axes, numbers: ResultNumbers) -> None:
    """Draw the share of voxels with each number of fibres."""
    places = np.arange(len(numbers.fibres))
    axes.bar(places - 0.2, np.array(numbers.fibres) / numbers.voxels, 0.38, color="0.75", label="mask")
    if numbers.white_voxels and numbers.mean:
        white = np.array(numbers.white_fibres) / numbers.white_voxels
        axes.bar(places + 0.2, white, 0.38, color="tab:red", label="white matter")
    axes.set_xticks(places, [*map(str, places[:-1]), f"{places[-1]}+"])
    axes.set(title="fibres a voxel", xlabel="peaks above the threshold", ylabel="share of voxels")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _png(figure: Figure) -> bytes:
    written = BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()
