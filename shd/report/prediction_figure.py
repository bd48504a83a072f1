"""The picture of methods on a scan without truth: how well they predict it, and how well halves of it agree."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from shd.evaluation.cross_validation import Prediction
from shd.evaluation.split_half import Agreement
from shd.report.plane_drawing import write_letters
from shd.report.planes import Plane, anatomical_planes
from shd.scans.scan import Scan

__all__ = ["prediction_figure"]

DOTS_PER_INCH = 130
_ROW, _HEADING = 4.2, 0.9  # inches
_WINDOW = 96  # voxels shown along an edge of a map


def prediction_figure(
    path: Path, scan: Scan, predictions: Mapping[str, Prediction], agreements: Mapping[str, Agreement]
) -> None:
    """Write a row an evaluation as PNG: its numbers, then a map a method, on the axial slice with most to compare."""
    rows = bool(predictions) + bool(agreements)
    methods = list(dict.fromkeys([*predictions, *agreements]))
    size = (4.4 * (1 + len(methods)) + 1.0, _ROW * rows + _HEADING)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.03, 1 - 0.3 / size[1], f"shd evaluate: {scan.name}", fontsize=15, fontweight="bold", va="center")
    grid = figure.add_gridspec(
        rows, 1 + len(methods), left=0.07, right=0.93, bottom=0.6 / size[1], top=1 - _HEADING / size[1], hspace=0.35,
        wspace=0.25,
    )  # fmt: skip
    compared = np.isfinite(next(iter(agreements.values())).angles) if agreements else scan.mask
    plane = anatomical_planes(scan.affine, compared.astype(np.float64), window=_WINDOW)[0]
    row = 0
    if predictions:
        _draw_shells(figure.add_subplot(grid[row, 0]), predictions)
        for column, (name, prediction) in enumerate(predictions.items(), start=1):
            axes = figure.add_subplot(grid[row, column])
            title = f"{name}: {prediction.relative:.3f} times the noise"
            _draw_map(axes, plane, prediction.voxels, (0.5, 2.0), title, "error / noise")
        row += 1
    if agreements:
        _draw_angles(figure.add_subplot(grid[row, 0]), agreements)
        for column, (name, agreement) in enumerate(agreements.items(), start=1):
            axes = figure.add_subplot(grid[row, column])
            title = f"{name}: median {agreement.main_angle:.1f}°"
            _draw_map(axes, plane, agreement.angles, (0.0, 30.0), title, "angle of main peaks (°)")
    figure.savefig(path, format="png")


def _draw_shells(axes: Axes, predictions: Mapping[str, Prediction]) -> None:
    """Draw the error of each shell in units of its noise, a bar a method."""
    width = 0.8 / len(predictions)
    for number, (name, prediction) in enumerate(predictions.items()):
        places = np.arange(len(prediction.shells)) + (number - (len(predictions) - 1) / 2) * width
        axes.bar(places, [shell.relative for shell in prediction.shells], width=0.9 * width, label=name)
    shells = next(iter(predictions.values())).shells
    axes.set_xticks(range(len(shells)), [f"b = {shell.bvalue:.0f}\n{shell.directions} directions" for shell in shells])
    axes.axhline(1.0, color="black", linewidth=1.0, linestyle="--")
    axes.set_title("held-out directions: error / noise", fontsize=11, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_angles(axes: Axes, agreements: Mapping[str, Agreement]) -> None:
    """Draw how many voxels agree within each angle."""
    for name, agreement in agreements.items():
        angles = np.sort(agreement.angles[np.isfinite(agreement.angles)])
        axes.plot(angles, (np.arange(len(angles)) + 1) / len(angles), label=name, linewidth=1.8)
    axes.set(xlim=(0, 90), ylim=(0, 1.02), xlabel="angle between the main peaks of both halves (°)")
    axes.set_title("split half: share of voxels within", fontsize=11, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_map(
    axes: Axes, plane: Plane, volume: Float[np.ndarray, "x y z"], limits: tuple[float, float], title: str, label: str
) -> None:
    axes.set_facecolor("0.17")
    drawn = axes.imshow(
        plane.cut(volume), extent=plane.extent(), origin="lower", cmap="viridis", norm=Normalize(*limits),
        interpolation="nearest",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[], aspect="equal")
    write_letters(axes, plane)
    axes.set_title(title, fontsize=11, loc="left")
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(drawn, ax=axes, extend="both", shrink=0.85).set_label(label, fontsize=9)
