"""Each family of phantoms: what it promises, that its seed decides it, and what cannot be asked of it."""

import numpy as np
import pytest

from shd.errors import SimulationError
from shd.simulation.centreline import trace
from shd.simulation.families import FAMILIES, family_geometry
from shd.simulation.phantoms import measured
from shd.simulation.protocols import CLINICAL
from shd.simulation.sampling import contains
from shd.sphere.directions import axial_angle

COARSE = {"voxel_mm": 3.0, "protocol": CLINICAL, "snr": None}


def points_of(geometry):
    return np.concatenate([bundle.control_points for bundle in geometry.bundles])


@pytest.mark.parametrize("name", FAMILIES)
def test_seed_decides_a_family(name):
    few = {"bundles": 2} if name == "tangle" else {}
    first, again, other = (family_geometry(name, seed=seed, **few) for seed in (1, 1, 2))
    np.testing.assert_array_equal(points_of(first), points_of(again))
    assert points_of(first).shape != points_of(other).shape or np.abs(points_of(first) - points_of(other)).max() > 0.1


@pytest.mark.parametrize("name", ["crossing", "fanning", "kissing", "bending"])
def test_small_families_have_white_matter_grey_matter_and_fluid(name):
    phantom = measured(family_geometry(name, seed=1), **COARSE)
    assert (phantom.tissue_fractions.max(axis=(0, 1, 2)) == 1.0).all()
    for number in range(len(phantom.geometry.bundles)):
        ends = {2 * number + 1, 2 * number + 2}
        assert ends <= set(np.unique(phantom.endpoints))


def test_fan_opens_by_its_angle():
    phantom = measured(family_geometry("fanning", angle=80.0), **COARSE)
    axis = phantom.geometry.bundles[0].control_points[-1] / np.linalg.norm(
        phantom.geometry.bundles[0].control_points[-1]
    )
    fan = (phantom.bundles[..., 0] == 0) & (phantom.fractions[..., 0] > 0.9)
    angles = axial_angle(phantom.directions[fan][:, 0].astype(float), axis[None])
    assert 32.0 < angles.max() < 42.0  # a little more where the cone begins


def test_kissing_bundles_touch_without_crossing_and_part_at_the_angle():
    geometry = family_geometry("kissing", angle=70.0)
    upper, lower = (trace(bundle) for bundle in geometry.bundles)
    gap = np.linalg.norm(upper.points[:, None] - lower.points[None], axis=-1).min()
    assert gap == pytest.approx(10.0, abs=0.1)  # both radii: they touch and do not cross
    assert axial_angle(upper.tangents[-1:], lower.tangents[-1:])[0] == pytest.approx(70.0, abs=1.0)


@pytest.mark.parametrize("angle", [30.0, 90.0, 180.0])
def test_bend_turns_by_its_angle_on_its_circle(angle):
    line = trace(family_geometry("bending", angle=angle).bundles[0])
    turn = np.degrees(np.arccos(np.clip(line.tangents[0] @ line.tangents[-1], -1, 1)))
    assert turn == pytest.approx(angle, abs=0.5)
    assert np.linalg.norm(line.curvatures, axis=1).max() == pytest.approx(1 / 9, rel=0.35)


@pytest.mark.parametrize("seed", [0, 1])
def test_tangle_leads_from_surface_to_surface_in_gentle_curves_with_ends_apart(seed):
    geometry = family_geometry("tangle", bundles=5, extent=40.0, seed=seed)
    assert len(geometry.bundles) == 5
    tips, radii = [], []
    for bundle in geometry.bundles:
        line = trace(bundle)
        assert np.linalg.norm(line.curvatures, axis=1).max() * bundle.radii[0] < 1.0
        assert np.linalg.norm(line.points, axis=1).max() < 1.02 * 20
        tips += [line.points[0], line.points[-1]]
        radii += [bundle.radii[0]] * 2
    np.testing.assert_allclose(np.linalg.norm(tips, axis=1), 20.0)
    apart = np.linalg.norm(np.array(tips)[:, None] - np.array(tips)[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (apart > np.array(radii)[:, None]).all()


def test_tangle_crosses_itself_and_is_not_heaped_in_one_place():
    phantom = measured(family_geometry("tangle", seed=4), **COARSE)
    white = phantom.tissue_fractions[..., 0] > 0.5
    counts = (phantom.fractions[white] >= 0.1).sum(axis=-1)
    assert 0.2 < np.mean(counts > 1) < 0.6
    assert np.mean(counts > 3) < 0.03


def test_many_bundles_find_a_place_by_being_thinner():
    many = family_geometry("tangle", bundles=40, seed=0)
    few = family_geometry("tangle", bundles=2, seed=0)
    assert np.mean([b.radii[0] for b in many.bundles]) < 0.7 * np.mean([b.radii[0] for b in few.bundles])


def test_challenge_has_27_bundles_from_surface_to_surface():
    geometry = family_geometry("challenge")
    assert len(geometry.bundles) == 27
    for bundle in geometry.bundles:
        np.testing.assert_allclose(np.linalg.norm(bundle.control_points[[0, -1]], axis=1), 50.0)
        line = trace(bundle)
        assert np.linalg.norm(line.curvatures, axis=1).max() * bundle.radii.max() < 1.0
        assert np.linalg.norm(line.points, axis=1).max() < 50.5


def test_four_bundles_cross_at_each_star_of_the_challenge():
    lines = [trace(bundle) for bundle in family_geometry("challenge").bundles if bundle.name.startswith("star left")]
    centre = np.array([-19.0, 19.0, -15.0])
    assert [np.linalg.norm(line.points - centre, axis=1).min() < 1.5 for line in lines] == [True] * 4


@pytest.fixture(scope="module")
def head():
    return measured(family_geometry("brain", seed=1), voxel_mm=5.0, protocol=CLINICAL, snr=None)


def test_brain_has_layers_from_white_matter_out(head):
    white, _, fluid = np.moveaxis(head.tissue_fractions, -1, 0)
    volume = head.tissue_fractions.sum(axis=(0, 1, 2)) * 125e-3  # ml
    assert volume[0] > volume[1] > 150
    assert fluid[head.scan.mask][fluid[head.scan.mask] > 0.99].size > 250
    points = np.indices(head.scan.shape).reshape(3, -1).T @ head.scan.affine[:3, :3].T + head.scan.affine[:3, 3]
    within = contains(head.geometry.white_surface, points).reshape(head.scan.shape)
    assert white[~within & (white > 0.9)].size == 0  # fibres end in the cortex
    assert white[within].mean() > 0.6
    several = (head.fractions[white > 0.5] >= 0.1).sum(axis=-1) > 1
    assert 0.35 < several.mean() < 0.75


def test_white_matter_of_the_brain_lies_under_cortex_everywhere(head):
    geometry, generator = head.geometry, np.random.default_rng(0)
    rays = generator.standard_normal((400, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    pia = next(region for region in geometry.regions if region.name == "cortex")
    steps = np.linspace(20, 110, 900)
    for ray in rays:
        white, cortex = (steps[contains(shape, steps[:, None] * ray)].max() for shape in (geometry.white_surface, pia))
        assert 1.5 < cortex - white < 9.0


def test_smaller_brain_is_the_same_scaled():
    whole, half = (family_geometry("brain", extent=extent, seed=2) for extent in (182.0, 91.0))
    np.testing.assert_allclose(points_of(half), points_of(whole) / 2)
    np.testing.assert_allclose(half.extent, whole.extent / 2)


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("knot", {}, "family 'knot': give one of crossing, "),
        ("crossing", {"angle": 0.0}, "angle_degrees 0"),
        ("fanning", {"angle": 120.0}, "angle_degrees 120"),
        ("kissing", {"angle": 130.0}, "angle_degrees 130"),
        ("bending", {"angle": 181.0}, "angle_degrees 181"),
        ("tangle", {"bundles": 0}, "bundles 0"),
        ("tangle", {"extent": -1.0}, "extent -1 mm"),
        ("brain", {"extent": 0.0}, "extent 0 mm"),
        ("brain", {"angle": 20.0}, "brain: angle 20 cannot be chosen; of brain extent can"),
        ("challenge", {"bundles": 3}, "nothing but the seed"),
        ("tangle", {"seed": -1}, "seed -1"),
    ],
)
def test_what_a_family_cannot_be_is_refused(name, choices, message):
    with pytest.raises(SimulationError, match=message):
        family_geometry(name, **choices)
