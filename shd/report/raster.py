"""The compiled triangle painter: plain arrays in, plain arrays out, nothing else of shd.

Each pixel keeps the nearest triangle over its centre (a depth buffer), so surfaces that meet or overlap come out right
whatever the order they are painted in.
"""

from typing import no_type_check

import numpy as np

from shd.just_in_time import compiled

__all__ = ["paint_triangles"]


@compiled
@no_type_check
def paint_triangles(vertices, faces, colours, light, ambient, image, depth):
    """Paint lit triangles over `image`, in place.

    vertices (glyph, vertex, 3): column, row (pixels; pixel centres at whole numbers) and depth towards the viewer.
    faces (face, 3): vertices of each triangle, counter-clockwise where it faces the viewer with rows counted upwards.
    colours (face, 3). light (3): unit vector towards the lamp, in the axes of `vertices`. A face is as bright as
    ambient + (1 − ambient)·max(0, normal·light) (Lambert). image (row, column, 4): red, green, blue, cover.
    depth (row, column): of what was painted so far, −inf where nothing was.
    """
    rows, columns = depth.shape
    for glyph in range(vertices.shape[0]):
        for face in range(faces.shape[0]):
            ax, ay, az = vertices[glyph, faces[face, 0]]
            bx, by, bz = vertices[glyph, faces[face, 1]]
            cx, cy, cz = vertices[glyph, faces[face, 2]]
            nx = (by - ay) * (cz - az) - (bz - az) * (cy - ay)
            ny = (bz - az) * (cx - ax) - (bx - ax) * (cz - az)
            nz = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if nz <= 0.0:  # seen from behind, edge-on, or without area
                continue
            lit = (nx * light[0] + ny * light[1] + nz * light[2]) / np.sqrt(nx * nx + ny * ny + nz * nz)
            brightness = ambient + (1.0 - ambient) * max(0.0, lit)
            top = min(rows - 1, int(np.floor(max(ay, by, cy))))
            last = min(columns - 1, int(np.floor(max(ax, bx, cx))))
            for row in range(max(0, int(np.ceil(min(ay, by, cy)))), top + 1):
                for column in range(max(0, int(np.ceil(min(ax, bx, cx)))), last + 1):
                    # Twice the areas of the triangles that the pixel spans with each edge: all positive inside.
                    u = (bx - column) * (cy - row) - (by - row) * (cx - column)
                    v = (cx - column) * (ay - row) - (cy - row) * (ax - column)
                    w = (ax - column) * (by - row) - (ay - row) * (bx - column)
                    if u < 0.0 or v < 0.0 or w < 0.0:
                        continue
                    here = (u * az + v * bz + w * cz) / nz
                    if here > depth[row, column]:
                        depth[row, column] = here
                        image[row, column, 0] = colours[face, 0] * brightness
                        image[row, column, 1] = colours[face, 1] * brightness
                        image[row, column, 2] = colours[face, 2] * brightness
                        image[row, column, 3] = 1.0
