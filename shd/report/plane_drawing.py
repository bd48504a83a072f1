"""What pictures of anatomical planes share: slices in grey, colours of tissues and directions, letters of the sides."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from shd.report.planes import Plane

__all__ = ["draw_anatomy", "mixed_tissues", "write_colour_key", "write_letters", "write_letters_beside"]

_TISSUES = np.array([[0.95, 0.95, 0.92], [0.50, 0.47, 0.47], [0.13, 0.30, 0.62]])  # white matter, grey matter, CSF


def draw_anatomy(
    axes: Axes, plane: Plane, background: Float[np.ndarray, "x y z"], window: tuple[float, float], brightest: float
) -> None:
    """Draw a slice in grey, each voxel at its true size.

    window: the intensities drawn black and in the brightest grey. brightest: that grey, of 1 for white; the darker, the
    more what is drawn over the slice stands out.
    """
    low, high = window
    axes.imshow(
        np.nan_to_num(plane.cut(background), nan=low),
        extent=plane.extent(),
        origin="lower",
        cmap="gray",
        vmin=low,
        vmax=low + (high - low) / brightest,
        interpolation="nearest",
    )


def mixed_tissues(shares: Float[np.ndarray, "x y z 3"]) -> Float[np.ndarray, "x y z 3"]:
    """Return colours, mixed by the shares of white matter (white), grey matter (grey) and CSF (blue)."""
    return np.clip(shares @ _TISSUES, 0.0, 1.0)


def write_letters(axes: Axes, plane: Plane, margin: float = 0.04, **style: Any) -> None:
    """Write inside each edge of a dark slice the side of the patient that lies there.

    margin: from the edge, of the slice's width or height. style: as of matplotlib's texts; grey and bold by default.
    """
    outlined = [withStroke(linewidth=1.5, foreground="0.1")]  # to be read on what is bright, too
    style = {"color": "0.75", "fontweight": "bold", "path_effects": outlined, **style}
    places = ((margin, 0.5), (1 - margin, 0.5), (0.5, margin), (0.5, 1 - margin))
    for letter, (x, y) in zip(plane.letters, places, strict=True):
        axes.text(x, y, letter, transform=axes.transAxes, ha="center", va="center", **style)


def write_letters_beside(axes: Axes, plane: Plane) -> None:
    """Write outside each edge of a slice the side of the patient that lies there."""
    places = ((-0.012, 0.5, "right"), (1.012, 0.5, "left"), (0.5, -0.012, "top"), (0.5, 1.0, "bottom"))
    for letter, (x, y, side) in zip(plane.letters, places, strict=True):
        horizontal, vertical = ("center", side) if x == 0.5 else (side, "center")
        axes.text(x, y, letter, transform=axes.transAxes, fontsize=13, fontweight="bold", ha=horizontal, va=vertical)


def write_colour_key(figure: Figure, places: tuple[float, float, float], height: float, fontsize: float = 11) -> None:
    """Write which direction each colour stands for; places, height: of the figure's width and height."""
    for text, colour, x in zip(("left-right", "front-back", "up-down"), ("red", "green", "blue"), places, strict=True):
        figure.text(x, height, text, fontsize=fontsize, color=colour, fontweight="bold", va="center")
