"""The picture of a tractogram: streamlines over three anatomical planes, and all of them from three sides."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from shd.evaluation.tractogram_scores import Streamlines
from shd.report.plane_drawing import draw_anatomy, write_colour_key, write_letters
from shd.report.planes import Plane, anatomical_planes

__all__ = ["draw_background", "draw_streamlines", "streamline_figure"]

INCHES, DOTS_PER_INCH = 12.0, 110
_MARGINS = {"left": 0.035, "right": 0.985, "bottom": 0.025, "top": 0.865, "wspace": 0.1, "hspace": 0.1}
_MOST_SEGMENTS = 60_000  # a panel; of more, every second, third, … streamline is drawn
_MOST_POINTS = 300_000  # likewise, of all that may be drawn: each takes 100 bytes here
_BLOCK = 1 << 17  # points counted at a time
_BRIGHTEST = 0.6  # grey of the anatomy under the streamlines


def streamline_figure(
    path: Path,
    *,
    streamlines: Streamlines,
    background: Float[np.ndarray, "x y z"],
    affine: Float[np.ndarray, "4 4"],
    title: str,
    notes: Sequence[str] = (),
) -> None:
    """Write the picture of a tractogram as PNG.

    Upper row: on each anatomical plane, through the slice with most of the streamlines, those parts of them that lie
    within a voxel of it. Lower row: all streamlines seen along the same axis. Colours are the directions' (red
    left-right, green front-back, blue up-down). background: anatomy, any units. affine: voxel index → scanner RAS mm of
    the background. Radiological view.
    """
    figure = Figure(figsize=(INCHES, INCHES * 0.78), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3, gridspec_kw=_MARGINS)
    starts, ends, line = _segments(_thinned(streamlines))
    density = _density(streamlines.points, background.shape, affine)
    for column, plane in enumerate(anatomical_planes(affine, density, max(background.shape))):
        middle = plane.centres(np.array([_centre(plane)]))[0, 2]
        depth = plane.turned((starts + ends) / 2)[:, 2]
        near = np.abs(depth - middle) <= np.linalg.norm(affine[:3, plane.normal])
        for row, shown in enumerate((near, np.ones(len(starts), dtype=bool))):
            axes = panels[row, column]
            draw_background(axes, plane, background)
            _draw_segments(axes, plane, starts, ends, line, shown)
        panels[0, column].set_title(plane.title, loc="left")
        panels[1, column].set_title(f"all, {plane.name}", loc="left")
    figure.text(0.035, 0.967, title, fontsize=15, fontweight="bold", va="center")
    figure.text(0.035, 0.945, "\n".join(notes), fontsize=9.5, color="0.3", va="top", linespacing=1.5)
    write_colour_key(figure, (0.76, 0.835, 0.915), 0.967)
    figure.savefig(path, format="png")


def _thinned(streamlines: Streamlines) -> Streamlines:
    """Return every second, third, … streamline, such that about `_MOST_POINTS` points are left at most."""
    every = -(-len(streamlines.points) // _MOST_POINTS)
    if every <= 1:
        return streamlines
    lengths = streamlines.lengths[::every]
    firsts = (np.cumsum(streamlines.lengths) - streamlines.lengths)[::every]
    pieces = [streamlines.points[a : a + n] for a, n in zip(firsts, lengths, strict=True)]
    return Streamlines(np.concatenate(pieces), lengths)


def _segments(
    streamlines: Streamlines,
) -> tuple[Float[np.ndarray, "segment 3"], Float[np.ndarray, "segment 3"], Int[np.ndarray, " segment"]]:
    """Return the ends of every straight piece in mm, and which streamline it is of."""
    line = np.repeat(np.arange(len(streamlines.lengths)), streamlines.lengths)
    first = np.flatnonzero(line[1:] == line[:-1])
    return streamlines.points[first], streamlines.points[first + 1], line[first]


def _density(
    points: Float[np.ndarray, "point 3"], shape: tuple[int, ...], affine: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "x y z"]:
    """Return how many points lie in each voxel."""
    inverse = np.linalg.inv(affine)
    count = np.zeros(shape)
    for first in range(0, len(points), _BLOCK):
        block = points[first : first + _BLOCK].astype(np.float64)
        voxels = np.rint(block @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
        voxels = voxels[np.all((voxels >= 0) & (voxels < shape), axis=1)]
        np.add.at(count, tuple(voxels.T), 1.0)
    return count


def _centre(plane: Plane) -> Float[np.ndarray, "3"]:
    centre = (np.array(plane.shape, dtype=np.float64) - 1.0) / 2.0
    centre[plane.normal] = plane.index
    return centre


def draw_background(axes: Axes, plane: Plane, background: Float[np.ndarray, "x y z"]) -> None:
    """Draw a slice in dark grey, and the letters of its sides."""
    left, right, bottom, top = plane.extent()
    inside = background[np.isfinite(background) & (background > 0)]
    highest = float(np.percentile(inside, 99)) if inside.size else 1.0
    draw_anatomy(axes, plane, background, (0.0, highest), _BRIGHTEST)
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal", facecolor="black")
    write_letters(axes, plane, margin=0.03, color="yellow", fontsize=11, fontweight="normal")


def _draw_segments(
    axes: Axes,
    plane: Plane,
    starts: Float[np.ndarray, "segment 3"],
    ends: Float[np.ndarray, "segment 3"],
    line: Int[np.ndarray, " segment"],
    shown: np.ndarray,
) -> None:
    """Draw pieces of streamlines, the nearest to the viewer last."""
    every = max(1, int(np.ceil(np.count_nonzero(shown) / _MOST_SEGMENTS)))
    chosen = np.flatnonzero(shown & (line % every == 0))
    first, last = plane.turned(starts[chosen]), plane.turned(ends[chosen])
    direction = (ends[chosen] - starts[chosen]).astype(np.float64)
    colours = np.abs(direction) / np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    order = np.argsort(first[:, 2] + last[:, 2], kind="stable")
    pieces = np.stack([first[:, :2], last[:, :2]], axis=1)[order]
    axes.add_collection(LineCollection(list(pieces), colors=list(colours[order]), linewidths=0.6, antialiaseds=True))


def draw_streamlines(axes: Axes, plane: Plane, streamlines: Streamlines) -> None:
    """Draw whole streamlines as seen along a plane's normal, coloured by direction."""
    starts, ends, line = _segments(streamlines)
    _draw_segments(axes, plane, starts, ends, line, np.ones(len(starts), dtype=bool))
