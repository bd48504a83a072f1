"""The picture of an evaluation: scores against threshold and crossing angle, and where each result errs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from shd.errors import number_of
from shd.evaluation.assessment import ALL, CEILING, Assessment
from shd.evaluation.truth import Truth
from shd.report.plane_drawing import write_letters
from shd.report.planes import Plane, anatomical_planes

__all__ = ["evaluation_figure"]

DOTS_PER_INCH = 130
WORST = 30.0  # degrees, the end of the error maps' colour scale
_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:olive")
_MAPS_A_ROW = 4
_CURVES = (("F1", "f1"), ("angular error (°)", "angular_error"), ("success rate", "success_rate"))
_WINDOW = 64  # voxels shown along an edge of an error map


def evaluation_figure(path: Path, assessments: Sequence[Assessment], truth: Truth, *, title: str) -> None:
    """Write the picture of results on one phantom as PNG.

    Above, F1, angular error and success rate over all scored voxels against the peak threshold; below these the same
    scores of two-fibre voxels by their crossing angle, at the threshold of the assessments; then a map of each result's
    angular error on the slice with most crossing fibres, a white dot where the number of peaks is wrong.
    """
    rows = -(-len(assessments) // _MAPS_A_ROW)
    height = 8.7 + 3.6 * rows
    figure = Figure(figsize=(14.0, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.05, 1 - 0.3 / height, title, fontsize=15, fontweight="bold", va="center")
    figure.text(0.05, 1 - 0.58 / height, _subtitle(assessments, truth), fontsize=10.5, color="0.3", va="center")
    curves = figure.add_gridspec(
        2, 3, left=0.055, right=0.86, top=1 - 1.05 / height, bottom=(height - 8.0) / height, wspace=0.25, hspace=0.32
    )
    for column, (label, score) in enumerate(_CURVES):
        _draw_sweep(figure.add_subplot(curves[0, column]), assessments, label, score)
        _draw_angles(figure.add_subplot(curves[1, column]), assessments, label, score)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.872, 1 - 1.0 / height), frameon=False)
    maps = figure.add_gridspec(
        rows, _MAPS_A_ROW, left=0.055, right=0.86, top=(height - 9.05) / height, bottom=0.25 / height, wspace=0.08
    )
    plane = _crossing_plane(truth)
    drawn = None
    for number, result in enumerate(assessments):
        axes = figure.add_subplot(maps[number // _MAPS_A_ROW, number % _MAPS_A_ROW])
        drawn = _draw_errors(axes, result, plane)
    if drawn is not None:
        bar = figure.add_axes((0.885, 0.35 / height, 0.01, 3.0 / height))
        figure.colorbar(drawn, cax=bar, extend="max").set_label("mean angular error (°)", fontsize=9)
    figure.savefig(path, format="png")


def _subtitle(assessments: Sequence[Assessment], truth: Truth) -> str:
    return (
        f"{number_of(int(truth.scored.sum()), 'voxel')} more than half white matter · crossing angles and maps: "
        f"peaks from {assessments[0].threshold:g} of the voxel's highest · white dot: more or fewer peaks than fibres"
    )


def _style(assessments: Sequence[Assessment], number: int) -> dict[str, Any]:
    """Return how a result is drawn: the ceiling black and dashed, the others in colours."""
    if assessments[number].name == CEILING:
        return {"color": "black", "linestyle": "--", "linewidth": 1.5, "zorder": 2}
    others = [result.name for result in assessments if result.name != CEILING]
    colour = _COLOURS[others.index(assessments[number].name) % len(_COLOURS)]
    repeated = others.index(assessments[number].name) >= len(_COLOURS)
    return {"color": colour, "linestyle": ":" if repeated else "-", "linewidth": 1.8, "zorder": 3}


def _draw_sweep(axes: Axes, assessments: Sequence[Assessment], label: str, score: str) -> None:
    """Draw a score over all voxels against the threshold."""
    for number, result in enumerate(assessments):
        sweep = result.groups[ALL].sweep
        values = [getattr(scores, score) for scores in sweep.scores]
        axes.plot(sweep.thresholds, values, label=result.name, **_style(assessments, number))
    axes.axvline(assessments[0].threshold, color="0.8", linewidth=1.0, zorder=1)
    axes.set_title(f"{label}, all voxels", fontsize=11, loc="left")
    axes.set_xlabel("peaks from this share of the voxel's highest")
    _finish(axes, score)


def _draw_angles(axes: Axes, assessments: Sequence[Assessment], label: str, score: str) -> None:
    """Draw a score of two-fibre voxels against the crossing angle, one point a group."""
    groups = [name for name in assessments[0].groups if name.endswith("°")]
    for number, result in enumerate(assessments):
        values = [getattr(result.groups[group].sweep.at(result.threshold), score) for group in groups]
        axes.plot(range(len(groups)), values, marker="o", markersize=4, **_style(assessments, number))
    voxels = [assessments[0].groups[group].sweep.scores[0].voxels for group in groups]
    axes.set_xticks(range(len(groups)), [f"{g}\n{n}" for g, n in zip(groups, voxels, strict=True)], fontsize=9)
    axes.set_xlim(-0.4, max(len(groups), 1) - 0.6)
    axes.set_title(f"{label}, two fibres", fontsize=11, loc="left")
    axes.set_xlabel("crossing angle, and number of voxels")
    if not groups:
        axes.text(0.5, 0.5, "no voxel with two fibres", ha="center", transform=axes.transAxes, color="0.5")
    _finish(axes, score)


def _finish(axes: Axes, score: str) -> None:
    axes.set_ylim(0, None if score == "angular_error" else 1.02)
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _crossing_plane(truth: Truth) -> Plane:
    """Return, of the three anatomical planes through most crossing fibres, the one that shows most scored voxels."""
    return max(
        anatomical_planes(truth.affine, _crossing(truth), window=_WINDOW),
        key=lambda plane: float(plane.cut(truth.scored).sum()),
    )


def _crossing(truth: Truth) -> Float[np.ndarray, "x y z"]:
    """Return the fraction of all fibres but the largest; where there is none, of white matter."""
    rest = (truth.fractions.sum(axis=-1) - truth.fractions.max(axis=-1)) * truth.scored
    return rest if rest.any() else truth.scored.astype(np.float64)


def _draw_errors(axes: Axes, result: Assessment, plane: Plane) -> AxesImage:
    axes.set_facecolor("0.17")
    drawn = axes.imshow(
        plane.cut(result.errors.degrees),
        extent=plane.extent(),
        origin="lower",
        cmap="viridis",
        norm=Normalize(0, WORST),
        interpolation="nearest",
    )
    voxels = plane.voxels()
    wrong = voxels[result.errors.miscounted[tuple(voxels.T)]]
    x, y, _ = plane.centres(wrong).T
    across = max(plane.across[1] - plane.across[0], plane.along[1] - plane.along[0])
    axes.plot(x, y, linestyle="", marker="o", markersize=max(0.6, min(2.5, 50 / across)), color="white")
    axes.set(xticks=[], yticks=[], aspect="equal")
    write_letters(axes, plane)
    scores = result.groups[ALL].sweep.at(result.threshold)
    axes.set_title(f"{result.name}: {scores.angular_error:.1f}°", fontsize=11, loc="left")
    return drawn
