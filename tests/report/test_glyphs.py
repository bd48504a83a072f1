import numpy as np
import pytest

from shd.fodf.field import FodField
from shd.report.glyphs import GREATEST_LENGTH, glyph_layer, glyph_scale, glyph_sphere, glyph_vertices
from shd.report.planes import anatomical_planes
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.harmonics import coefficient_count, coefficient_degrees, even_harmonics
from tests.report.affines import AFFINES

SHAPE = (5, 6, 7)
FIBRES = {
    "left-right": [1.0, 0.0, 0.0],
    "front-back": [0.0, 1.0, 0.0],
    "up-down": [0.0, 0.0, 1.0],
    "between": [0.6, -0.64, 0.48],
}


def single_fibre(direction, degree=8):
    """A band-limited, slightly smoothed delta along a scanner direction."""
    l = coefficient_degrees(degree)
    return even_harmonics(np.array([direction], dtype=float), degree)[0] * np.exp(-0.02 * l * (l + 1))


def field(affine, coefficients, shape=SHAPE):
    wm = np.broadcast_to(coefficients, (*shape, len(coefficients))).astype(np.float32)
    return FodField(wm=wm, isotropic={}, affine=affine, mask=np.ones(shape, dtype=bool))


def page_displacement(plane, affine, direction):
    """Where a step along a scanner direction leads on the page, by way of voxel indices."""
    start = np.array([2.0, 2.0, 2.0])
    step = np.linalg.solve(affine[:3, :3], np.asarray(direction))
    return plane.centres(start + step) - plane.centres(start)


@pytest.mark.parametrize("fibre", FIBRES.values(), ids=FIBRES)
@pytest.mark.parametrize("name", AFFINES)
def test_the_longest_vertex_points_along_the_fibre_on_the_page(name, fibre):
    affine = AFFINES[name]
    for plane in anatomical_planes(affine, np.ones(SHAPE)):
        drawn = plane.turned(glyph_vertices(single_fibre(fibre)[None]))[0]
        longest = drawn[np.linalg.norm(drawn, axis=-1).argmax()].astype(np.float64)
        expected = page_displacement(plane, affine, fibre)
        assert axial_angle(normalised(longest[None]), normalised(expected[None])) < 3.0  # vertices are 4° apart


@pytest.mark.parametrize("name", AFFINES)
def test_the_painted_lobe_lies_along_the_fibre_in_the_fibres_colour(name):
    """The layer's own pixels: principal axis and mean colour of one glyph drawn alone."""
    affine = AFFINES[name]
    fibre = np.array(FIBRES["between"])
    for plane in anatomical_planes(affine, np.ones(SHAPE)):
        voxel = np.array([2, 3, 4])
        voxel[plane.normal] = plane.index
        fod = field(affine, single_fibre(fibre))
        fod.mask[...] = False
        fod.mask[tuple(voxel)] = True
        layer = glyph_layer(fod, plane, pixels_per_mm=30.0)
        rows, columns = np.nonzero(layer[..., 3] > 0.5)
        left, _, bottom, _ = plane.extent()
        page = np.stack([left + (columns + 0.5) / 30.0, bottom + (rows + 0.5) / 30.0], axis=-1)
        np.testing.assert_allclose(page.mean(axis=0), plane.centres(voxel)[:2], atol=0.02)
        axis = np.linalg.svd(page - page.mean(axis=0), full_matrices=False)[2][0]
        expected = page_displacement(plane, affine, fibre)[:2]
        cosine = abs(axis @ expected) / np.linalg.norm(expected)
        assert np.degrees(np.arccos(min(1.0, cosine))) < 3.0
        colour = layer[rows, columns, :3].sum(axis=0)
        assert axial_angle(normalised(colour[None].astype(np.float64)), np.abs(fibre[None])) < 10.0


def test_the_sphere_is_closed_and_faces_outwards():
    sphere = glyph_sphere()
    assert len(sphere.faces) == 2 * len(sphere.vertices) - 4  # Euler's formula for a closed triangle mesh
    a, b, c = (sphere.vertices[sphere.faces[:, corner]] for corner in range(3))
    assert np.all(np.sum(np.cross(b - a, c - a) * a, axis=-1) > 0)
    half = len(sphere.vertices) // 2
    np.testing.assert_array_equal(sphere.vertices[half:], -sphere.vertices[:half])


def test_negative_lobes_are_not_drawn():
    assert np.all(glyph_vertices(-single_fibre([0, 0, 1])[None])[0, 0] == 0)


def test_a_constant_fodf_is_a_sphere_of_its_amplitude():
    coefficients = np.zeros((1, coefficient_count(4)))
    coefficients[0, 0] = np.sqrt(4 * np.pi)
    np.testing.assert_allclose(np.linalg.norm(glyph_vertices(coefficients), axis=-1), 1.0, rtol=1e-5)


def test_one_scale_serves_all_but_giants_and_dwarfs():
    peaks = np.array([1.0] * 18 + [50.0, 1e-4])
    scale = glyph_scale(peaks, spacing=2.0)
    assert np.ptp(scale[:18]) == 0
    assert scale[18] * 50.0 == pytest.approx(GREATEST_LENGTH * 2.0)
    assert scale[19] == 0.0


def test_no_fibre_anywhere_paints_nothing():
    plane = anatomical_planes(np.eye(4), np.ones(SHAPE))[0]
    assert not glyph_layer(field(np.eye(4), np.zeros(coefficient_count(8))), plane, 10.0).any()


def test_an_empty_mask_paints_nothing():
    fod = field(np.eye(4), single_fibre([1, 0, 0]))
    fod.mask[...] = False
    plane = anatomical_planes(np.eye(4), np.ones(SHAPE))[0]
    assert not glyph_layer(fod, plane, 10.0).any()


def test_nan_voxels_are_left_out():
    fod = field(np.eye(4), single_fibre([1, 0, 0]))
    wm = fod.wm.copy()
    wm[0, 0] = np.nan
    plane = anatomical_planes(np.eye(4), np.ones(SHAPE))[0]
    layer = glyph_layer(FodField(wm=wm, isotropic={}, affine=np.eye(4), mask=fod.mask), plane, 10.0)
    assert np.isfinite(layer).all()
    assert layer[..., 3].any()
