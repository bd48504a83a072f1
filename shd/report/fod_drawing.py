"""fODFs over anatomy on one plane, and what chooses the plane and the greys."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from shd.fodf.field import FodField
from shd.report.glyphs import glyph_layer
from shd.report.plane_drawing import draw_anatomy
from shd.report.planes import Plane

__all__ = ["BACKGROUND_WHITE", "draw_fods", "fibre_content", "grey_window"]

BACKGROUND_WHITE = 0.75  # the brightest grey of the anatomy, so that glyphs stand out


def fibre_content(fod: FodField) -> Float[np.ndarray, "x y z"]:
    """Return the norm of the directional coefficients: what white matter has and a sphere has not."""
    content = np.zeros(fod.mask.shape)
    for plane, mask, wm in zip(content, fod.mask, fod.wm, strict=True):  # one at a time: coefficients are many
        plane[mask] = np.linalg.norm(np.nan_to_num(wm[mask, 1:]), axis=-1)
    return content if content.any() else fod.mask.astype(np.float64)


def grey_window(background: Float[np.ndarray, "x y z"], fod: FodField) -> tuple[float, float]:
    """Return the intensities drawn black and white."""
    inside = background[fod.mask & np.isfinite(background)]
    if inside.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(inside, [1, 99])
    return float(min(0.0, low)), float(high) if high > low else float(low) + 1.0


def draw_fods(
    axes: Axes,
    plane: Plane,
    background: Float[np.ndarray, "x y z"],
    window: tuple[float, float],
    fod: FodField,
    pixels: int,
) -> None:
    """Draw the plane's window: anatomy, and glyphs over it. pixels: of the window's longer side."""
    left, right, bottom, top = extent = plane.extent()
    axes.set_facecolor("black")
    draw_anatomy(axes, plane, background, window, BACKGROUND_WHITE)
    layer = glyph_layer(fod, plane, pixels / max(right - left, top - bottom))
    axes.imshow(np.clip(layer, 0.0, 1.0), extent=extent, origin="lower", interpolation="antialiased")
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
