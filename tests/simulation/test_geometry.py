"""What cannot be a bundle, a region or a phantom is refused, with the name and the number."""

from dataclasses import replace

import numpy as np
import pytest

from shd.errors import SimulationError
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.simulation.tissues import Fibre

POINTS = np.array([[-10.0, 0, 0], [0, 2, 0], [10, 0, 0]])


def bundle(**changes) -> Bundle:
    return Bundle(**{"name": "b", "control_points": POINTS, "radii": np.full(3, 2.0), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control_points": POINTS[:1], "radii": np.ones(1)}, "bundle b: 1 control points"),
        ({"radii": np.ones(2)}, "2 radii for 3 control points"),
        ({"radii": np.array([1.0, 0.0, 1.0])}, "radius 0 mm"),
        ({"radii": np.array([1.0, np.nan, 1.0])}, "not a finite number"),
        ({"control_points": POINTS[[0, 0, 2]]}, "control points 1 and the next coincide"),
        ({"tangents": "round"}, "tangents 'round'"),
        ({"ends": "loose"}, "ends 'loose'"),
        ({"control_points": POINTS - POINTS[0]}, "ends at the origin"),
    ],
)
def test_impossible_bundle_is_refused(changes, message):
    with pytest.raises(SimulationError, match=message):
        bundle(**changes)


def test_bundle_from_the_origin_may_follow_its_chords():
    assert bundle(control_points=POINTS - POINTS[0], ends="chord").ends == "chord"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"semi_axes": np.array([1.0, -1.0, 1.0])}, "region r: radius -1 mm"),
        ({"volume_fraction": 1.5}, "volume_fraction 1.5"),
        ({"volume_fraction": -0.1}, "volume_fraction -0.1"),
        ({"tissue": "bone"}, "tissue 'bone'"),
        ({"amplitude": 0.2}, "folds of amplitude 0.2 by 0 waves"),
        ({"centre": np.array([0.0, np.inf, 0.0])}, "not a finite number"),
    ],
)
def test_impossible_region_is_refused(changes, message):
    region = Region.ball("r", np.zeros(3), 3.0)
    with pytest.raises(SimulationError, match=message):
        replace(region, **changes)


def test_geometry_needs_bundles_of_different_names_and_a_size():
    with pytest.raises(SimulationError, match="0 bundles"):
        Geometry("g", (), np.ones(3))
    with pytest.raises(SimulationError, match="two bundles share the name b"):
        Geometry("g", (bundle(), bundle()), np.ones(3))
    with pytest.raises(SimulationError, match="fill 'wm'"):
        Geometry("g", (bundle(),), np.ones(3), fill="wm")
    with pytest.raises(SimulationError, match="extent"):
        Geometry("g", (bundle(),), np.array([1.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1.2, 1.7e-3, 0.4e-3), "stick_fraction 1.2"),
        ((0.5, 1.7, 0.4), "diffusivities 1.7 along"),
        ((0.5, 0.4e-3, 1.7e-3), "diffusivities 0.0004 along and 0.0017"),
    ],
)
def test_impossible_fibre_is_refused(numbers, message):
    with pytest.raises(SimulationError, match=message):
        Fibre(*numbers)
