import numpy as np
import pytest

from shd.sphere.rotations import random_rotation
from tests.simulation.analytic_bundles import ArcBundle, Ball, StraightBundle

CENTRE = np.array([3.0, -7.0, 11.0])
FRAME = random_rotation(np.random.default_rng(5))


def arc(bend_radius: float = 40.0) -> ArcBundle:
    return ArcBundle(CENTRE, FRAME[:, 0], FRAME[:, 1], bend_radius, 4.0)


def arc_points(bundle: ArcBundle, angles: np.ndarray, outwards: float = 0.0, across: float = 0.0) -> np.ndarray:
    """Points at a distance from the arc's axis, from the arc's definition: a circle around centre + R·bend."""
    x, y, z = FRAME.T
    radius = bundle.bend_radius + outwards
    circle = np.sin(angles)[:, None] * x - np.cos(angles)[:, None] * y
    return bundle.centre + bundle.bend_radius * y + radius * circle + across * z


def test_straight_bundle_contains_its_cylinder_and_no_more():
    bundle = StraightBundle(CENTRE, FRAME[:, 2], 4.0)
    along = np.linspace(-100, 100, 9)[:, None] * FRAME[:, 2]
    assert bundle.contains(CENTRE + along + 3.99 * FRAME[:, 0]).all()
    assert not bundle.contains(CENTRE + along + 4.01 * FRAME[:, 1]).any()


def test_infinite_radius_fills_space():
    points = np.random.default_rng(0).normal(size=(20, 3)) * 1e3
    assert StraightBundle(CENTRE, FRAME[:, 0], np.inf).contains(points).all()


def test_arc_contains_its_tube_and_no_more():
    bundle, angles = arc(), np.linspace(-1, 1, 11)
    for outwards, across in [(3.99, 0), (-3.99, 0), (0, 3.99), (0, -3.99)]:
        assert bundle.contains(arc_points(bundle, angles, outwards, across)).all()
    for outwards, across in [(4.01, 0), (-4.01, 0), (0, 4.01), (3.0, 3.0)]:
        assert not bundle.contains(arc_points(bundle, angles, outwards, across)).any()


@pytest.mark.parametrize("outwards", [-3.0, 0.0, 3.0])
def test_tangents_of_an_arc_are_its_derivative(outwards):
    bundle, angles, step = arc(), np.linspace(-1.2, 1.2, 13), 1e-6
    difference = arc_points(bundle, angles + step, outwards) - arc_points(bundle, angles - step, outwards)
    expected = difference / np.linalg.norm(difference, axis=1, keepdims=True)
    np.testing.assert_allclose(bundle.tangents(arc_points(bundle, angles, outwards, 2.0)), expected, atol=1e-8)


def test_arc_passes_its_centre_along_its_direction():
    np.testing.assert_allclose(arc().tangents(CENTRE[None])[0], FRAME[:, 0], atol=1e-12)
    assert arc().contains(CENTRE[None]).all()


def test_arc_of_a_huge_circle_is_straight():
    points = CENTRE + np.random.default_rng(1).normal(size=(200, 3)) * 4
    straight = StraightBundle(CENTRE, FRAME[:, 0], 4.0)
    np.testing.assert_array_equal(arc(1e8).contains(points), straight.contains(points))
    np.testing.assert_allclose(arc(1e8).tangents(points), straight.tangents(points), atol=1e-6)


def test_ball_contains_points_within_its_radius():
    ball = Ball(CENTRE, 2.0)
    np.testing.assert_array_equal(ball.contains(CENTRE + np.array([[1.99, 0, 0], [0, 2.01, 0]])), [True, False])
