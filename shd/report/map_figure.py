"""The picture of scalar maps: each on the three anatomical planes with most white matter, in radiological view."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from shd.fodf.field import FodField
from shd.report.plane_drawing import write_letters
from shd.report.planes import Plane, anatomical_planes

__all__ = ["map_figure"]

DOTS_PER_INCH = 110
_SIDE = 2.15  # inches a panel
_BLOCKS = 2  # maps side by side
_BRIGHTEST = 99.0  # percentile of a map's values in the mask that is drawn white


def map_figure(
    target: Path | BytesIO,
    maps: Mapping[str, Float[np.ndarray, "x y z *each"]],
    fod: FodField,
    *,
    title: str,
    planes: Sequence[Plane] | None = None,
) -> None:
    """Write the picture of maps as PNG.

    maps: title → values on the grid of `fod`; three volumes named DEC are drawn as colours, of others with four axes
    the first volume, the largest peak's. planes: to be shown; by default those with most white matter.
    """
    planes = planes or anatomical_planes(fod.affine, _white_matter(fod), window=max(fod.mask.shape))
    rows = -(-len(maps) // _BLOCKS)
    width, height = _BLOCKS * (3 * _SIDE + 0.75) + 0.3, rows * (_SIDE + 0.32) + 0.85
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.3 / width, 1 - 0.27 / height, title, fontsize=14, fontweight="bold", va="center")
    figure.text(0.3 / width, 1 - 0.54 / height, _note(planes, fod, "DEC" in maps), fontsize=9, color="0.3", va="center")
    for number, (name, values) in enumerate(maps.items()):
        row, block = divmod(number, _BLOCKS)
        left = 0.3 + block * (3 * _SIDE + 0.75)
        bottom = height - 0.75 - (row + 1) * (_SIDE + 0.32)
        _draw_map(figure, (left / width, bottom / height, _SIDE / width, _SIDE / height), name, values, planes, fod)
    figure.savefig(target, format="png")


def _white_matter(fod: FodField) -> Float[np.ndarray, "x y z"]:
    """Return the amount of white matter; the mask where there is none."""
    amount = np.where(fod.mask, np.maximum(np.nan_to_num(fod.wm[..., 0]), 0.0), 0.0)
    return amount if amount.any() else fod.mask.astype(np.float32)


def _note(planes: Sequence[Plane], fod: FodField, coloured: bool) -> str:
    slices = ", ".join(f"{plane.name} {plane.index}" for plane in planes)
    sizes = " × ".join(f"{size:.3g}" for size in np.linalg.norm(fod.affine[:3, :3], axis=0))
    key = " · DEC: red left-right, green front-back, blue up-down" if coloured else ""
    return f"radiological view · slices {slices} · {sizes} mm voxels · of several peaks the highest{key}"


def _draw_map(
    figure: Figure,
    place: tuple[float, float, float, float],
    name: str,
    values: Float[np.ndarray, "x y z *each"],
    planes: Sequence[Plane],
    fod: FodField,
) -> None:
    """Draw one map on the planes, beside each other, with its scale."""
    left, bottom, across, up = place
    colours = name == "DEC"
    shown = values if colours or values.ndim == 3 else values[..., 0]
    top = _brightest(np.max(shown, axis=-1) if colours else shown, fod, whole=name == "NuFO")
    for column, plane in enumerate(planes):
        axes = figure.add_axes((left + 1.02 * column * across, bottom, across, up))
        image = _cut_colours(plane, shown / top) if colours else plane.cut(np.nan_to_num(shown))
        drawn = axes.imshow(
            image, extent=plane.extent(), origin="lower", cmap="viridis" if name == "NuFO" else "gray",
            vmin=0.0, vmax=top, interpolation="nearest",
        )  # fmt: skip
        _finish(axes, plane)
        if column == 0:
            axes.set_title(f"{name}" if colours else f"{name}, 0 to {top:.3g}", fontsize=10, loc="left", pad=3)
    if not colours:
        bar = figure.add_axes((left + 3.09 * across, bottom + 0.1 * up, 0.03 * across, 0.8 * up))
        figure.colorbar(drawn, cax=bar).ax.tick_params(labelsize=7, length=2, pad=1)


def _cut_colours(plane: Plane, values: Float[np.ndarray, "x y z 3"]) -> Float[np.ndarray, "up right 3"]:
    return np.stack([plane.cut(np.clip(values[..., axis], 0.0, 1.0)) for axis in range(3)], axis=-1)


def _brightest(values: Float[np.ndarray, "x y z"], fod: FodField, whole: bool) -> float:
    """Return the value drawn white: a high percentile of those that are there, or the greatest of whole numbers."""
    inside = values[fod.mask & np.isfinite(values) & (values > 0)]
    if not inside.size:
        return 1.0
    return float(inside.max() if whole else np.percentile(inside, _BRIGHTEST))


def _finish(axes: Axes, plane: Plane) -> None:
    axes.set_facecolor("black")
    axes.set(xticks=[], yticks=[], aspect="equal")
    write_letters(axes, plane, color="yellow", path_effects=[Stroke(linewidth=2, foreground="black"), Normal()])
