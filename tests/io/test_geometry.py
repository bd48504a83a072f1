"""Geometry files: Phantomas's layout, our keys, and an error that names the file for everything else."""

import json
from dataclasses import fields

import numpy as np
import pytest

from shd.errors import SimulationError
from shd.io.geometry import geometry_content, geometry_of, read_geometry
from shd.simulation.families import FAMILIES, family_geometry
from shd.simulation.tissues import WHITE_MATTER

# The example of Phantomas's documentation, as JSON, with a region.
PLANAR = {
    "fiber_geometries": {
        "planar_fiber": {
            "control_points": [-10.0, 0, 0, -5, 0, 0, 0, 5, 0, 5, 0, 0, 7.0711, -7.0711, 0],
            "tangents": "symmetric",
            "radius": 2.0,
        }
    },
    "isotropic_regions": {"region1": {"radius": 5.0, "center": [1.0, 0.0, 0.0], "volume_fraction": 0.4}},
}


def changed(*path, **values):
    """PLANAR with keys set at a path (None removes)."""
    content = json.loads(json.dumps(PLANAR))
    target = content
    for key in path:
        target = target[key]
    for key, value in values.items():
        target.pop(key, None)
        if value is not None:
            target[key] = value
    return content


def test_file_of_phantomas_gives_its_geometry(tmp_path):
    file = tmp_path / "planar.txt"
    file.write_text(json.dumps(PLANAR))
    geometry = read_geometry(file)
    (bundle,), (region,) = geometry.bundles, geometry.regions
    assert geometry.name == "planar"
    assert (bundle.name, bundle.tangents, bundle.ends, bundle.fibre) == (
        "planar_fiber",
        "symmetric",
        "radial",
        WHITE_MATTER,
    )
    np.testing.assert_array_equal(bundle.control_points[2], [0, 5, 0])
    np.testing.assert_array_equal(bundle.radii, 2.0)
    assert (region.tissue, region.volume_fraction, region.over_bundles) == ("csf", 0.4, True)
    np.testing.assert_allclose(geometry.outline.semi_axes, 10.0, rtol=1e-4)  # the ends' distance: the phantom's radius
    np.testing.assert_allclose(geometry.extent, 22.0, rtol=1e-4)  # 2.2 radii, as Phantomas


def test_radius_of_the_phantom_can_be_stated_and_ends_inside_leave_it_unbounded():
    np.testing.assert_allclose(geometry_of(changed(phantom_radius=12.0), "x").outline.semi_axes, 12.0)
    points = [-10.0, 0, 0, 0, 5, 0, 4, 0, 0]
    free = geometry_of(changed("fiber_geometries", "planar_fiber", control_points=points), "x")
    assert free.outline is None
    np.testing.assert_allclose(free.extent, [24.0, 14.0, 4.0])


def test_control_points_may_be_listed_in_threes_and_comments_anywhere():
    points = [[-10.0, 0, 0], [0, 5, 0], [10, 0, 0]]
    content = changed("fiber_geometries", "planar_fiber", control_points=points, comment="mine")
    content["comment"] = "a phantom"
    content["fiber_geometries"]["comment"] = "bundles"
    np.testing.assert_array_equal(geometry_of(content, "x").bundles[0].control_points, points)


@pytest.mark.parametrize("name", FAMILIES)
def test_content_of_a_geometry_makes_it_again(name):
    geometry = family_geometry(name, seed=1, **({"bundles": 2} if name == "tangle" else {}))
    again = geometry_of(json.loads(json.dumps(geometry_content(geometry))), geometry.name)
    for mine, theirs in zip(geometry.bundles, again.bundles, strict=True):
        assert (mine.name, mine.tangents, mine.ends, mine.fibre) == (
            theirs.name,
            theirs.tangents,
            theirs.ends,
            theirs.fibre,
        )
        np.testing.assert_array_equal(mine.control_points, theirs.control_points)
        np.testing.assert_array_equal(mine.radii, theirs.radii)
    boundaries = [(geometry.outline, again.outline), (geometry.white_surface, again.white_surface)]
    for mine, theirs in [*zip(geometry.regions, again.regions, strict=True), *boundaries]:
        assert (mine is None) == (theirs is None)
        for field in fields(mine) if mine is not None else ():
            if field.name != "name":
                np.testing.assert_array_equal(getattr(mine, field.name), getattr(theirs, field.name))
    np.testing.assert_array_equal(geometry.extent, again.extent)
    assert geometry.fill == again.fill


FIBER = ("fiber_geometries", "planar_fiber")
REGION = ("isotropic_regions", "region1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(bundles={}), r"the file: unknown key 'bundles'; known are fiber_geometries, "),
        (changed(*FIBER, raduis=1.0), r"bundle planar_fiber: unknown key 'raduis'"),
        (changed(*REGION, centre=[0, 0, 0]), r"region region1: unknown key 'centre'"),
        (changed(*FIBER, control_points=[0, 0, 10.0]), "bundle planar_fiber: 1 control points"),
        (changed(*FIBER, control_points=[0, 0, 10.0, 1]), "4 numbers in control_points"),
        (changed(*FIBER, control_points=None), "control_points is missing"),
        (changed(*FIBER, control_points=["a", 1, 2]), "give a list of numbers"),
        (changed(*FIBER, control_points=[[0, 0, 1], [2, 3]]), "give a list of numbers"),
        (changed(*FIBER, radius=None), "give either radius, one number, or radii"),
        (changed(*FIBER, radius="thick"), "radius 'thick'; give a number"),
        (changed(*FIBER, radius=-2.0), "radius -2 mm"),
        (changed(*FIBER, tangents="round"), "tangents 'round'"),
        (changed(*FIBER, stick_fraction=1.4), "bundle planar_fiber: stick_fraction 1.4"),
        (changed(*FIBER, parallel=1.7), "bundle planar_fiber: diffusivities 1.7"),
        (changed(*REGION, volume_fraction=1.2), "region region1: volume_fraction 1.2"),
        (changed(*REGION, center=[0, 0]), "2 numbers in center, which has 3"),
        (changed(*REGION, radius=None), "give either radius, one number, or semi_axes"),
        (changed(*REGION, over_bundles="yes"), "over_bundles 'yes'"),
        (changed(*REGION, waves=[1, 2, 3]), "3 numbers in waves"),
        (changed(fiber_geometries={}), "fiber_geometries holds 0 bundles"),
        (changed(fiber_geometries=[1]), "fiber_geometries: list where names and values"),
        ([1, 2], "the file: list where names and values"),
    ],
)
def test_bad_content_is_one_error_with_the_file_the_place_and_the_value(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(content))
    with pytest.raises(SimulationError, match=rf"bad\.json: .*{message}"):
        read_geometry(file)


def test_broken_and_missing_files_are_named(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{'fiber_geometries': {}}")
    with pytest.raises(SimulationError, match=r"broken\.json: not valid JSON \(.*line 1"):
        read_geometry(broken)
    with pytest.raises(SimulationError, match=r"none\.json: no such file"):
        read_geometry(tmp_path / "none.json")
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SimulationError, match=r"binary\.json: "):
        read_geometry(binary)
