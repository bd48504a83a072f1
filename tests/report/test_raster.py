import numpy as np

from shd.report.raster import paint_triangles

LIGHT = np.array([0.0, 0.6, 0.8])
SIZE = (24, 30)


def painted(vertices, faces, colours, ambient=0.3):
    image = np.zeros((*SIZE, 4), dtype=np.float32)
    depth = np.full(SIZE, -np.inf, dtype=np.float32)
    paint_triangles(vertices, faces, colours, LIGHT, ambient, image, depth)
    return image, depth


def painted_pixel_by_pixel(vertices, faces, colours, ambient=0.3):
    """The readable painter: every pixel asks every triangle, by barycentric coordinates."""
    image, depth = np.zeros((*SIZE, 4)), np.full(SIZE, -np.inf)
    for glyph in vertices.astype(np.float64):
        for face, colour in zip(faces, colours, strict=True):
            a, b, c = glyph[face]
            normal = np.cross(b - a, c - a)
            if normal[2] <= 0:
                continue
            brightness = ambient + (1 - ambient) * max(0.0, normal @ LIGHT / np.linalg.norm(normal))
            edges = np.stack([b[:2] - a[:2], c[:2] - a[:2]], axis=1)
            for row, column in np.ndindex(*SIZE):
                beta, gamma = np.linalg.solve(edges, np.array([column, row]) - a[:2])
                height = a[2] + beta * (b[2] - a[2]) + gamma * (c[2] - a[2])
                if min(beta, gamma, 1 - beta - gamma) >= 0 and height > depth[row, column]:
                    depth[row, column] = height
                    image[row, column] = [*(colour * brightness), 1.0]
    return image, depth


def test_equals_the_readable_painter_on_overlapping_triangles_partly_off_the_page():
    rng = np.random.default_rng(7)
    vertices = rng.uniform([-8, -8, -10], [38, 32, 10], size=(2, 9, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [2, 1, 0], [3, 4, 5], [5, 4, 3], [6, 7, 8], [8, 7, 6]])
    colours = rng.uniform(size=(6, 3)).astype(np.float32)
    image, depth = painted(vertices, faces, colours)
    expected_image, expected_depth = painted_pixel_by_pixel(vertices, faces, colours)
    assert expected_image[..., 3].sum() > 100
    np.testing.assert_allclose(image, expected_image, atol=1e-4)
    np.testing.assert_allclose(depth, expected_depth, atol=1e-4)


def test_the_order_of_painting_does_not_matter():
    rng = np.random.default_rng(8)
    vertices = rng.uniform([0, 0, -10], [29, 23, 10], size=(4, 3, 3)).astype(np.float32)
    faces, colours = np.array([[0, 1, 2], [2, 1, 0]]), np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    forwards, backwards = painted(vertices, faces, colours)[0], painted(vertices[::-1].copy(), faces, colours)[0]
    np.testing.assert_array_equal(forwards, backwards)


def test_a_triangle_seen_from_behind_or_without_area_is_not_painted():
    triangle = np.array([[[2, 2, 0], [2, 20, 0], [20, 2, 0]], [[2, 2, 0], [10, 10, 0], [20, 20, 0]]], dtype=np.float32)
    image, depth = painted(triangle, np.array([[0, 1, 2]]), np.ones((1, 3), dtype=np.float32))
    assert not image.any()
    assert np.all(depth == -np.inf)
