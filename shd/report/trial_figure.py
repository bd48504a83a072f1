"""The picture of methods on phantoms with known truth: fODFs over a slice through the crossing, and where each errs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from shd.evaluation.trial import Trial
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.report.glyphs import glyph_layer
from shd.report.plane_drawing import write_colour_key, write_letters
from shd.report.planes import Plane, anatomical_planes

__all__ = ["crossing_plane", "trial_figure"]

WINDOW = 11  # voxels shown along an edge: the crossing and a little of each bundle
PANEL_PIXELS = 620
DOTS_PER_INCH = 130
_ROW_INCHES, _HEADING_INCHES = 4.75, 1.2
WORST = 30.0  # degrees, the end of the error maps' colour scale
_GREY_LEVELS = (0.05, 0.17, 0.32)  # of voxels with no, one, two fibres
_LEAST_FRACTION = 0.1  # a fibre that fills less of its voxel is not counted, as in the scores


def trial_figure(
    path: Path, trials: Sequence[Trial], *, truth: str, relative_threshold: float, title: str, subtitle: str
) -> None:
    """Write a row a trial as PNG: glyphs of the truth and of each method, then their error maps.

    truth: the name under which each trial holds the true fODFs. relative_threshold: share of the voxel's highest peak
    from which a peak counts in the maps and in the numbers under the panels.
    """
    methods = [name for name in trials[0].fods if name != truth]
    columns, rows = 1 + len(methods), len(trials)
    size = (4.6 * columns + 2.5, _ROW_INCHES * rows + _HEADING_INCHES)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        rows, columns + 1, width_ratios=[*[1.0] * columns, 0.46], left=0.03, right=0.95, wspace=0.06, hspace=0.2,
        bottom=0.055, top=1 - 1.3 / figure.get_figheight(),
    )  # fmt: skip
    drawn = None
    for row, trial in enumerate(trials):
        plane = crossing_plane(trial)
        for column, method in enumerate([truth, *methods]):
            axes = figure.add_subplot(grid[row, column])
            _draw_glyphs(axes, trial, method, plane)
            axes.set_title(f"{trial.name} crossing: {method}", fontsize=12, loc="left")
            if method != truth:
                axes.set_xlabel(_in_words(trial, method, relative_threshold), fontsize=10)
        inner = grid[row, columns].subgridspec(len(methods), 1, hspace=0.22)
        for place, method in enumerate(methods):
            axes = figure.add_subplot(inner[place])
            drawn = _draw_errors(axes, trial, method, plane, relative_threshold)
            axes.set_title(f"error of {method}", fontsize=9, loc="left")
    if drawn is not None:
        bar = figure.add_axes((0.957, 0.3, 0.008, 0.4))
        figure.colorbar(drawn, cax=bar, extend="max").set_label("degrees", fontsize=9)
    _write_heading(figure, title, subtitle)
    figure.savefig(path, format="png")


def crossing_plane(trial: Trial) -> Plane:
    """Return, of the three planes through most of the crossing, the one that lies nearest to both fibres."""
    fractions, directions = trial.phantom.fractions, trial.phantom.directions
    both = np.minimum(fractions[..., 0], fractions[..., 1])
    normals = np.cross(directions[..., 0, :], directions[..., 1, :])  # of either sign: bundles are listed by their size
    normal = np.linalg.eigh(np.einsum("xyz,xyzi,xyzj->ij", both, normals, normals))[1][:, -1]
    planes = anatomical_planes(trial.phantom.scan.affine, both, window=WINDOW)
    return max(planes, key=lambda plane: abs(float(plane.frame[2] @ normal)))


def _of_one_length(trial: Trial, method: str) -> FodField:
    """Return the fODFs of voxels that truly hold a fibre, each divided by its highest amplitude.

    At one common scale the half-filled lobes of a crossing are too small to be judged beside whole bundles.
    """
    fod, shown = trial.fods[method], _fibre_count(trial) > 0
    highest = find_peaks(fod.wm[shown], count=1).amplitudes
    wm = np.zeros_like(fod.wm)
    wm[shown] = fod.wm[shown] / np.where(highest > 0, highest, np.inf)
    return replace(fod, wm=wm, mask=shown)


def _fibre_count(trial: Trial) -> Float[np.ndarray, "x y z"]:
    return np.minimum((trial.phantom.fractions >= _LEAST_FRACTION).sum(axis=-1), 2).astype(np.float64)


def _draw_glyphs(axes: Axes, trial: Trial, method: str, plane: Plane) -> None:
    """Draw fODFs over a ground that is lighter the more fibres the voxel truly holds."""
    left, right, bottom, top = extent = plane.extent()
    ground = np.array(_GREY_LEVELS)[plane.cut(_fibre_count(trial)).astype(int)]
    axes.imshow(ground, extent=extent, origin="lower", cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    layer = glyph_layer(_of_one_length(trial, method), plane, PANEL_PIXELS / max(right - left, top - bottom))
    axes.imshow(np.clip(layer, 0.0, 1.0), extent=extent, origin="lower", interpolation="antialiased")
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    write_letters(axes, plane, margin=0.03, color="yellow")


def _draw_errors(axes: Axes, trial: Trial, method: str, plane: Plane, relative_threshold: float) -> AxesImage:
    """Draw the angular error in colour, with a white dot where the number of peaks is wrong."""
    errors = trial.error_map(method, relative_threshold)
    axes.set_facecolor(str(_GREY_LEVELS[1]))
    drawn = axes.imshow(
        plane.cut(errors.degrees),
        extent=plane.extent(),
        origin="lower",
        cmap="viridis",
        norm=Normalize(0, WORST),
        interpolation="nearest",
    )
    voxels = plane.voxels()
    wrong = voxels[errors.miscounted[tuple(voxels.T)]]
    x, y, _ = plane.centres(wrong).T
    axes.plot(x, y, linestyle="", marker="o", markersize=2.5, color="white")
    axes.set(xticks=[], yticks=[], aspect="equal")
    return drawn


def _in_words(trial: Trial, method: str, relative_threshold: float) -> str:
    _, two = trial.scores(method, relative_threshold)
    if two is None:
        return ""
    return (
        f"two-fibre voxels: error {two.angular_error:.1f}°, both found in {two.both_fibres_found:.0%}, F1 {two.f1:.2f}"
    )


def _write_heading(figure: Figure, title: str, subtitle: str) -> None:
    height = figure.get_figheight()
    figure.text(0.03, 1 - 0.3 / height, title, fontsize=16, fontweight="bold", va="center")
    figure.text(0.03, 1 - 0.5 / height, subtitle, fontsize=10.5, color="0.3", va="top", linespacing=1.5)
    write_colour_key(figure, (0.745, 0.805, 0.87), 1 - 0.3 / height)
