"""Curves through control points: Phantomas's own construction, circles, and what a curve's samples must be."""

import numpy as np
import pytest
from scipy.interpolate import BPoly

from shd.simulation.centreline import trace
from shd.simulation.geometry import Bundle
from shd.sphere.directions import axial_angle, normalised

# Ends on a sphere of 10 mm, as in the example of Phantomas's documentation of a planar bundle.
POINTS = np.array([[-10.0, 0, 0], [-5, 0, 0], [0, 5, 0], [5, 0, 0], [7.07, -7.07, 0]])


def bundle(points=POINTS, **changes) -> Bundle:
    return Bundle("b", points, np.full(len(points), 2.0), **changes)


def directions(points, rule):
    """Tangents at inner control points, one by one, from the rules in words."""
    return {
        "symmetric": [points[k + 1] - points[k - 1] for k in range(1, len(points) - 1)],
        "incoming": [points[k] - points[k - 1] for k in range(1, len(points) - 1)],
        "outgoing": [points[k + 1] - points[k] for k in range(1, len(points) - 1)],
    }[rule]


@pytest.mark.parametrize("rule", ["symmetric", "incoming", "outgoing"])
def test_curve_is_the_piecewise_polynomial_of_phantomas(rule):
    inner = directions(POINTS, rule)
    derivatives = normalised(np.array([-POINTS[0], *inner, POINTS[-1]]))
    chords = np.linalg.norm(np.diff(POINTS, axis=0), axis=1)
    knots = np.r_[0, np.cumsum(chords)] / chords.sum()
    expected = BPoly.from_derivatives(knots, np.stack([POINTS, derivatives * chords.sum()], axis=1))
    line = trace(bundle(tangents=rule))
    np.testing.assert_allclose(line.points, expected(np.linspace(0, 1, len(line.points))), atol=1e-10)


@pytest.mark.parametrize("ends", ["radial", "chord"])
def test_curve_passes_its_control_points_and_ends_as_asked(ends):
    line = trace(bundle(ends=ends))
    for point in POINTS:
        assert np.linalg.norm(line.points - point, axis=1).min() < 0.1
    first = -POINTS[0] if ends == "radial" else POINTS[1] - POINTS[0]
    last = POINTS[-1] if ends == "radial" else POINTS[-1] - POINTS[-2]
    np.testing.assert_allclose(line.tangents[[0, -1]], normalised(np.array([first, last])), atol=1e-9)


def test_tangents_and_curvature_are_the_derivatives_along_the_curve():
    line = trace(bundle(), largest_turn=0.01)
    steps = np.linalg.norm(np.diff(line.points, axis=0), axis=1, keepdims=True)
    middle = normalised(line.tangents[1:] + line.tangents[:-1])
    assert axial_angle(np.diff(line.points, axis=0) / steps, middle).max() < 0.02
    knot = np.abs(np.diff(line.curvatures, axis=0)).max(axis=1) > 0.1  # a cubic spline's curvature jumps at its knots
    slope = np.diff(line.tangents, axis=0) / steps
    between = (line.curvatures[1:] + line.curvatures[:-1]) / 2
    np.testing.assert_allclose(slope[~knot], between[~knot], atol=0.02)
    np.testing.assert_allclose(line.lengths, np.r_[0, np.cumsum(steps)])


def test_points_on_a_circle_make_a_circle():
    angles = np.radians(np.arange(-60, 61, 3))
    points = 20.0 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    line = trace(bundle(points, ends="chord"))
    inner = slice(len(line.points) // 8, -len(line.points) // 8)  # the ends follow chords, not the circle
    np.testing.assert_allclose(np.linalg.norm(line.points[inner], axis=1), 20.0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(line.curvatures[inner], axis=1), 1 / 20, rtol=0.02)


def test_neighbouring_samples_turn_by_two_degrees_at_most():
    for points in (POINTS, POINTS * [1, 3, 1]):
        line = trace(bundle(points))
        turn = axial_angle(line.tangents[1:], line.tangents[:-1])
        assert turn.max() <= 2.0
        assert len(line.points) > 33


def test_radii_follow_those_given_without_overshoot():
    line = trace(Bundle("b", POINTS, np.array([2.0, 2.0, 5.0, 3.0, 3.0])))
    assert line.radii.min() == 2.0
    assert line.radii.max() == pytest.approx(5.0, abs=0.01)
    rate = np.diff(line.radii) / np.diff(line.lengths)
    np.testing.assert_allclose(rate, (line.slopes[1:] + line.slopes[:-1]) / 2, atol=0.02)


def test_straight_bundle_of_two_points_is_straight():
    line = trace(bundle(POINTS[[0, 3]], ends="chord"))
    np.testing.assert_allclose(line.tangents, np.broadcast_to([1.0, 0, 0], line.tangents.shape), atol=1e-12)
    np.testing.assert_allclose(line.curvatures, 0.0, atol=1e-9)
