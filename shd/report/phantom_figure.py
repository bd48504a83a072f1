"""The picture of a phantom: its tissues, its main directions, and its true fODFs where most bundles cross."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from shd.errors import number_of
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.report.glyphs import glyph_layer
from shd.report.plane_drawing import mixed_tissues, write_colour_key
from shd.report.planes import Plane, anatomical_planes
from shd.simulation.phantoms import Phantom
from shd.simulation.true_fods import true_fods

__all__ = ["contact_sheet", "phantom_figure", "tissue_colours"]

INCHES, DOTS_PER_INCH, PANEL_PIXELS = 12.0, 110, 560
WINDOW = 13  # voxels of the glyph panels along an edge
_GREY_LEVELS = (0.0, 0.16, 0.32, 0.46)  # of voxels with no, one, two, three or more fibres
_SMOOTHING = 9.0  # degrees: at the 5° of the tables lobes are too thin to be seen
_LEAST_FRACTION = 0.1  # a fibre that fills less of its voxel is not counted, as in the scores


def phantom_figure(path: Path, phantom: Phantom, subtitle: str = "") -> None:
    """Write the picture as PNG: a column for each anatomical plane, through the slice with most crossing fibres.

    Rows: tissues; main directions in the usual colours; and, in the window that the first row frames, the true fODFs
    (smoothed by 9° to be seen) over a ground that is lighter the more fibres a voxel holds. Radiological view.
    """
    figure = Figure(figsize=(INCHES, INCHES * 1.08), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    margins = {"left": 0.03, "right": 0.97, "bottom": 0.025, "top": 0.89, "wspace": 0.08, "hspace": 0.12}
    panels = figure.subplots(3, 3, gridspec_kw=margins)
    planes = anatomical_planes(phantom.scan.affine, _plane_weight(phantom), window=WINDOW)
    for column, plane in enumerate(planes):
        _draw_whole(panels[0, column], plane, tissue_colours(phantom))
        _draw_frame(panels[0, column], plane)
        panels[0, column].set_title(
            f"{plane.name}, slice {plane.index} of 0…{plane.shape[plane.normal] - 1}", loc="left"
        )
        _draw_whole(panels[1, column], plane, _direction_colours(phantom))
        _draw_glyphs(panels[2, column], plane, phantom)
    for row, name in enumerate(("tissue", "direction", "true fODF")):
        panels[row, 0].set_ylabel(name, fontsize=11, labelpad=2)
    _write_heading(figure, phantom, subtitle)
    figure.savefig(path, format="png")


def contact_sheet(path: Path, phantoms: Sequence[Phantom]) -> None:
    """Write a column for each phantom as PNG: tissues, main directions and true fODFs, as in `phantom_figure`.

    Each is shown on the anatomical plane, of three through crossing fibres, that holds most white matter.
    """
    figure = Figure(figsize=(2.3 * len(phantoms), 7.2), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    margins = {"left": 0.005, "right": 0.995, "bottom": 0.01, "top": 0.95, "wspace": 0.04, "hspace": 0.03}
    panels = figure.subplots(3, len(phantoms), gridspec_kw=margins, squeeze=False)
    for column, phantom in enumerate(phantoms):
        plane = _fullest_plane(phantom)
        _draw_whole(panels[0, column], plane, tissue_colours(phantom))
        _draw_frame(panels[0, column], plane)
        panels[0, column].set_title(phantom.geometry.name, loc="left", fontsize=10)
        _draw_whole(panels[1, column], plane, _direction_colours(phantom))
        _draw_glyphs(panels[2, column], plane, phantom)
    figure.savefig(path, format="png")


def _fullest_plane(phantom: Phantom) -> Plane:
    """Return, of the planes through most crossing, the one whose slice holds most white matter."""
    planes = anatomical_planes(phantom.scan.affine, _plane_weight(phantom), window=WINDOW)
    white = phantom.tissue_fractions[..., 0]
    return max(planes, key=lambda plane: float(plane.whole.cut(white).sum()))


def _plane_weight(phantom: Phantom) -> Float[np.ndarray, "x y z"]:
    return _crossing(phantom) + 1e-3 * phantom.tissue_fractions[..., 0]


def tissue_colours(phantom: Phantom) -> Float[np.ndarray, "x y z 3"]:
    """Return the tissues of each voxel as colours, mixed by their shares; black where there is nothing."""
    return mixed_tissues(phantom.tissue_fractions)


def _crossing(phantom: Phantom) -> Float[np.ndarray, "x y z"]:
    """Return how much the two largest bundles of each voxel cross: the lesser share times sin² of their angle."""
    if phantom.fractions.shape[-1] < 2:
        return np.zeros(phantom.scan.shape)
    cosine = np.sum(phantom.directions[..., 0, :] * phantom.directions[..., 1, :], axis=-1, dtype=np.float64)
    return phantom.fractions[..., 1] * (1.0 - cosine**2)


def _direction_colours(phantom: Phantom) -> Float[np.ndarray, "x y z 3"]:
    """Return Σ fraction · |direction|: red left-right, green front-back, blue up-down."""
    colours = np.sum(phantom.fractions[..., None] * np.abs(phantom.directions), axis=-2)
    return np.clip(colours.astype(np.float64), 0.0, 1.0)


def _draw_whole(axes: Axes, plane: Plane, colours: Float[np.ndarray, "x y z 3"]) -> None:
    whole = plane.whole
    image = np.stack([whole.cut(colours[..., channel]) for channel in range(3)], axis=-1)
    axes.imshow(image, extent=whole.extent(), origin="lower", interpolation="nearest")
    axes.set(xticks=[], yticks=[], aspect="equal", facecolor="black")
    for letter, (x, y) in zip(plane.letters, ((0.03, 0.5), (0.97, 0.5), (0.5, 0.03), (0.5, 0.97)), strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, color="yellow", fontsize=9, ha="center", va="center")


def _draw_frame(axes: Axes, plane: Plane) -> None:
    left, right, bottom, top = plane.extent()
    axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, edgecolor="yellow"))


def _draw_glyphs(axes: Axes, plane: Plane, phantom: Phantom) -> None:
    """Draw the true fODFs of the plane's window alone: those of a whole head would take minutes."""
    left, right, bottom, top = extent = plane.extent()
    count = np.minimum((phantom.fractions >= _LEAST_FRACTION).sum(axis=-1), len(_GREY_LEVELS) - 1)
    ground = np.array(_GREY_LEVELS)[plane.cut(count)]
    axes.imshow(ground, extent=extent, origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    shown = np.zeros(phantom.scan.shape, dtype=bool)
    shown[tuple(plane.voxels().T)] = True
    shown &= count > 0
    wm = np.zeros(phantom.fods.shape, np.float32)
    smooth = true_fods(phantom, smoothing_degrees=_SMOOTHING)[shown].astype(np.float32)
    highest = find_peaks(smooth, count=1).amplitudes
    wm[shown] = smooth / np.where(highest > 0, highest, np.inf)  # or a crossing's lobes were half as long as a bundle's
    field = FodField(wm, {}, phantom.scan.affine, shown)
    layer = glyph_layer(field, plane, PANEL_PIXELS / max(right - left, top - bottom))
    axes.imshow(np.clip(layer, 0.0, 1.0), extent=extent, origin="lower", interpolation="antialiased")
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")


def _write_heading(figure: Figure, phantom: Phantom, subtitle: str) -> None:
    figure.text(0.03, 0.965, f"shd simulate: {phantom.geometry.name}", fontsize=15, fontweight="bold", va="center")
    sizes = " × ".join(f"{size:.3g}" for size in phantom.scan.voxel_sizes)
    shape = " × ".join(map(str, phantom.scan.shape))
    white = phantom.tissue_fractions[..., 0] > 0.5
    counts = (phantom.fractions[white] >= _LEAST_FRACTION).sum(axis=-1)
    share = f" ({np.mean(counts > 1):.0%} of them with several bundles)" if white.any() else ""
    lines = [
        f"{number_of(len(phantom.geometry.bundles), 'bundle')} · {shape} voxels of {sizes} mm · "
        f"{number_of(white.sum(), 'voxel')} more than half white matter{share}",
        subtitle,
    ]
    figure.text(0.03, 0.947, "\n".join(lines), fontsize=9.5, color="0.3", va="top", linespacing=1.5)
    write_colour_key(figure, (0.70, 0.79, 0.88), 0.965, fontsize=10.5)
