"""fODFs as lit surfaces: the distance from the voxel's centre is the amplitude, the colour the direction.

Colours are those of every direction-encoded map: red left-right, green front-back, blue up-down, from |x|, |y|, |z| of
the direction in scanner axes. Negative lobes are not drawn.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull

from shd.fodf.field import FodField
from shd.report.planes import Plane
from shd.report.raster import paint_triangles
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["GlyphSphere", "glyph_layer", "glyph_scale", "glyph_sphere", "glyph_vertices"]

TYPICAL_LENGTH = 0.55  # of a voxel: what the 85th percentile of peak amplitudes is drawn as
GREATEST_LENGTH = 0.95  # of a voxel: larger glyphs are shrunk to it, or one noisy voxel would cover its neighbours
LEAST_LENGTH = 0.04  # of a voxel: smaller glyphs are a dot of no direction
SAMPLES = 2  # per pixel and axis, averaged
LIGHT = np.array([-0.45, 0.55, 0.70]) / np.linalg.norm([-0.45, 0.55, 0.70])  # from the upper left, before the page
AMBIENT = 0.45


class GlyphSphere(NamedTuple):
    """A closed triangle mesh of the unit sphere; vertex v + V/2 is the antipode of vertex v."""

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]


@cache
def glyph_sphere(half_count: int = 1300) -> GlyphSphere:
    """Return a near-uniform mesh of 2·half_count vertices, faces counter-clockwise from outside."""
    half = half_sphere(half_count)
    vertices = np.concatenate([half, -half])
    faces = ConvexHull(vertices).simplices.astype(np.int64)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    inward = np.sum(np.cross(b - a, c - a) * a, axis=-1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return GlyphSphere(vertices, faces)


def glyph_vertices(coefficients: Float[np.ndarray, "glyph coeff"]) -> Float[np.ndarray, "glyph vertex 3"]:
    """Return direction times amplitude (0 where negative) at the vertices of `glyph_sphere()`, in the fODFs' frame."""
    sphere = glyph_sphere()
    half = sphere.vertices[: len(sphere.vertices) // 2]
    amplitudes = coefficients @ even_harmonics(half, degree_of_count(coefficients.shape[-1])).T
    radii = np.maximum(np.concatenate([amplitudes, amplitudes], axis=-1), 0.0)
    return (radii[..., None] * sphere.vertices).astype(np.float32)


def glyph_scale(peaks: Float[np.ndarray, " glyph"], spacing: float) -> Float[np.ndarray, " glyph"]:
    """Return millimetres per amplitude of each glyph from its peak amplitude: one scale, but for cut-off giants.

    `spacing` is the distance between neighbouring voxels, mm. A glyph too small to show a direction gets 0.
    """
    positive = peaks[peaks > 0]
    if positive.size == 0:
        return np.zeros_like(peaks)
    scale = np.full_like(peaks, TYPICAL_LENGTH * spacing / np.percentile(positive, 85))
    lengths = scale * peaks / spacing
    scale *= GREATEST_LENGTH / np.maximum(lengths, GREATEST_LENGTH)
    return np.where(lengths < LEAST_LENGTH, np.zeros_like(scale), scale)


def glyph_layer(fod: FodField, plane: Plane, pixels_per_mm: float) -> Float[np.ndarray, "row column 4"]:
    """Return the window's glyphs as red, green, blue and cover in 0…1, the first row at the bottom.

    The image spans `plane.extent()`; colours are not multiplied by the cover. Glyphs are drawn orthographically.
    """
    voxels = plane.voxels()
    voxels = voxels[fod.mask[tuple(voxels.T)]]
    coefficients = np.nan_to_num(fod.wm[tuple(voxels.T)])
    left, right, bottom, top = plane.extent()
    density = pixels_per_mm * SAMPLES
    columns, rows = (SAMPLES * max(1, round(length * pixels_per_mm)) for length in (right - left, top - bottom))
    image = np.zeros((rows, columns, 4), dtype=np.float32)
    depth = np.full((rows, columns), -np.inf, dtype=np.float32)

    shapes = plane.turned(glyph_vertices(coefficients))
    scale = glyph_scale(np.linalg.norm(shapes, axis=-1).max(axis=-1, initial=0.0), plane.spacing)
    corner = np.array([left + 0.5 / density, bottom + 0.5 / density, 0.0])
    places = plane.centres(voxels) - corner
    places[:, 2] = 0.0
    drawn = scale > 0
    vertices = (shapes[drawn] * scale[drawn, None, None] + places[drawn, None]) * density

    sphere = glyph_sphere()
    colours = np.abs(sphere.vertices[sphere.faces].mean(axis=1))
    colours /= np.linalg.norm(colours, axis=-1, keepdims=True)
    paint_triangles(vertices.astype(np.float32), sphere.faces, colours.astype(np.float32), LIGHT, AMBIENT, image, depth)
    return _averaged(image)


def _averaged(image: Float[np.ndarray, "rows columns 4"]) -> Float[np.ndarray, "row column 4"]:
    """Average blocks of SAMPLES × SAMPLES pixels, colours weighted by their cover."""
    rows, columns, _ = image.shape
    blocks = image.reshape(rows // SAMPLES, SAMPLES, columns // SAMPLES, SAMPLES, 4).mean(axis=(1, 3))
    cover = blocks[..., 3:]
    blocks[..., :3] = np.divide(blocks[..., :3], cover, out=np.zeros_like(blocks[..., :3]), where=cover > 0)
    return blocks
