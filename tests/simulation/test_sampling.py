"""The sampled phantom against direct sums over analytic bundles, and against rules that any geometry must keep."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree

from shd.errors import SimulationError
from shd.signal.gradients import gradient_table
from shd.simulation import sampling
from shd.simulation.centreline import trace
from shd.simulation.geometry import Bundle, Geometry, Region
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients
from shd.simulation.sampling import contains, sample
from shd.simulation.tangle import tangle_geometry
from shd.simulation.tissues import CSF, GREY_MATTER, Fibre
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.rotations import random_rotation
from tests.simulation.analytic_bundles import ArcBundle, Ball, ConeBundle, StraightBundle
from tests.simulation.brute_force import direct_sum

FRAME = random_rotation(np.random.default_rng(5))
SHAPE = (8, 7, 6)
GRADIENTS = protocol_gradients(RESEARCH)
FEW = protocol_gradients(CLINICAL)


def oblique_flipped() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(np.random.default_rng(9)) @ np.diag([-2.0, 1.5, 2.5])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    return affine


def straight(name, centre, direction, radius, **others):
    points = np.asarray(centre) + np.array([[-60.0], [60.0]]) * direction
    return Bundle(name, points, np.full(2, float(radius)), ends="chord", **others)


def arc(name, bundle: ArcBundle):
    angles = np.radians(np.linspace(-72, 72, 97))[:, None]
    centre = bundle.centre + bundle.bend_radius * bundle.bend
    points = centre + bundle.bend_radius * (np.sin(angles) * bundle.direction - np.cos(angles) * bundle.bend)
    return Bundle(name, points, np.full(97, bundle.radius), ends="chord")


def by_bundle(values, bundles, number):
    """The values of one bundle wherever it stands in its voxel, zero where absent."""
    return np.where(bundles == number, values, 0.0).sum(axis=-1)


def geometry_of(*bundles, regions=(), **others):
    return Geometry("test", tuple(bundles), np.full(3, 20.0), tuple(regions), **others)


@pytest.fixture(scope="module")
def mixed():
    """A straight bundle, a sharply bent one and a ball under them, sampled and summed directly."""
    bent = ArcBundle(np.array([1.0, 0.5, -1.0]), FRAME[:, 1], FRAME[:, 0], 14.0, 3.0)
    exact = (StraightBundle(np.zeros(3), FRAME[:, 0], 3.0), bent)
    ball = Ball(np.array([-4.0, 3.0, 2.0]), 4.0)
    region = Region.ball("drop", ball.centre, ball.radius, over_bundles=False)
    geometry = geometry_of(straight("first", np.zeros(3), FRAME[:, 0], 3.0), arc("second", bent), regions=[region])
    affine = oblique_flipped()
    return sample(geometry, GRADIENTS, SHAPE, affine), direct_sum(exact, (ball,), GRADIENTS, SHAPE, affine)


def test_fractions_of_bundles_and_tissues_are_those_of_the_direct_sum(mixed):
    samples, direct = mixed
    assert direct.fractions.max(axis=(0, 1, 2)).min() > 0.9  # both bundles fill voxels, or nothing is tested
    for number in range(2):
        found = by_bundle(samples.fractions, samples.bundles, number)
        different = np.abs(found - direct.fractions[..., number]) > 1e-6
        assert different.mean() < 0.02  # a point on a surface may fall to either side: 1/64 of a voxel
        np.testing.assert_allclose(found, direct.fractions[..., number], atol=2.1 / 64)
    np.testing.assert_allclose(samples.tissue_fractions, direct.tissues, atol=2.1 / 64)
    np.testing.assert_allclose(samples.tissue_fractions.sum(axis=-1), 1.0, atol=1e-12)


def test_signal_is_the_mean_over_points_of_the_exact_signal(mixed):
    samples, direct = mixed
    same = np.abs(samples.tissue_fractions - direct.tissues).max(axis=-1) < 1e-9
    for number in range(2):
        same &= np.abs(by_bundle(samples.fractions, samples.bundles, number) - direct.fractions[..., number]) < 1e-6
    assert same.mean() > 0.95
    # Intensities are 1000 at b=0: a hundredth is the error of tangents between the samples of the curve.
    np.testing.assert_allclose(samples.noise_free[same], direct.signal[same], atol=0.02)


def test_fods_and_directions_are_those_of_the_direct_sum(mixed):
    samples, direct = mixed
    same = np.abs(samples.tissue_fractions - direct.tissues).max(axis=-1) < 1e-9
    np.testing.assert_allclose(samples.fods[same], direct.fods[same], atol=0.05)
    # But for the few points on surfaces the harmonics are right to the tangents' error.
    assert np.median(np.abs(samples.fods[same] - direct.fods[same]).max(axis=-1)) < 1e-4
    for place in range(samples.bundles.shape[-1]):
        held = (samples.bundles[..., place] >= 0) & (samples.fractions[..., place] > 0.3)
        expected = np.take_along_axis(direct.tangents[held], samples.bundles[held][:, place, None, None], 1)[:, 0]
        assert axial_angle(samples.directions[held][:, place].astype(float), normalised(expected)).max() < 1.0


def test_signal_at_high_b_is_right_to_a_ten_thousandth_of_b0():
    directions = half_sphere(20)
    table = gradient_table(np.r_[0.0, np.full(20, 5000.0)], np.vstack([np.zeros(3), directions]))
    bundle, exact = straight("one", np.zeros(3), FRAME[:, 2], 3.0), StraightBundle(np.zeros(3), FRAME[:, 2], 3.0)
    samples = sample(geometry_of(bundle), table, SHAPE, oblique_flipped())
    direct = direct_sum((exact,), (), table, SHAPE, oblique_flipped())
    np.testing.assert_allclose(samples.noise_free, direct.signal, atol=0.1)  # the series itself is right to 1e-3
    full = samples.fractions[..., 0] == 1.0
    np.testing.assert_allclose(samples.noise_free[full], direct.signal[full], atol=2e-3)


def test_fibres_of_a_widening_bundle_point_away_from_its_apex():
    apex = -20.0 * FRAME[:, 1]
    cone = ConeBundle(apex, FRAME[:, 1], 0.4)
    along = np.array([4.0, 15.0, 30.0, 45.0])
    bundle = Bundle("cone", apex + along[:, None] * FRAME[:, 1], 0.4 * along, ends="chord")
    samples = sample(geometry_of(bundle), FEW, SHAPE, oblique_flipped())
    direct = direct_sum((cone,), (), FEW, SHAPE, oblique_flipped())
    full = (direct.fractions[..., 0] == 1.0) & (samples.fractions[..., 0] == 1.0)
    assert full.sum() > 50
    tangents = normalised(direct.tangents[full][:, 0])
    assert axial_angle(tangents, FRAME[:, 1][None]).max() > 10.0  # they do fan
    assert axial_angle(samples.directions[full][:, 0].astype(float), tangents).max() < 0.05
    np.testing.assert_allclose(samples.noise_free[full], direct.signal[full], atol=0.02)


def test_bundles_of_their_own_diffusivities_have_their_own_signal():
    slow = Fibre(0.3, 1.2e-3, 0.5e-3)
    centres, axes = (np.zeros(3), np.array([0.0, 1.0, 0.5])), (FRAME[:, 0], FRAME[:, 1])
    bundles = [straight("fast", centres[0], axes[0], 3.0), straight("slow", centres[1], axes[1], 3.0, fibre=slow)]
    exact = [StraightBundle(centre, axis, 3.0) for centre, axis in zip(centres, axes, strict=True)]
    samples = sample(geometry_of(*bundles), FEW, SHAPE, oblique_flipped())
    direct = direct_sum(exact, (), FEW, SHAPE, oblique_flipped(), fibres=[bundle.fibre for bundle in bundles])
    np.testing.assert_allclose(samples.noise_free, direct.signal, atol=2e-3)


def test_a_region_over_bundles_takes_their_place_and_shares_it_by_its_fraction():
    bundle = straight("all", np.zeros(3), FRAME[:, 0], 100.0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    whole = Region.ball("drop", np.zeros(3), 50.0)
    full = sample(geometry_of(bundle, regions=[whole]), FEW, (2, 2, 2), affine)
    np.testing.assert_allclose(full.tissue_fractions, np.broadcast_to([0.0, 0.0, 1.0], (2, 2, 2, 3)))
    np.testing.assert_allclose(full.noise_free[0, 0, 0], CSF.signal(FEW.bvalues), rtol=1e-6)
    third = sample(geometry_of(bundle, regions=[replace(whole, volume_fraction=0.25)]), FEW, (2, 2, 2), affine)
    np.testing.assert_allclose(third.tissue_fractions, np.broadcast_to([0.75, 0.0, 0.25], (2, 2, 2, 3)))
    under = sample(geometry_of(bundle, regions=[replace(whole, over_bundles=False)]), FEW, (2, 2, 2), affine)
    np.testing.assert_allclose(under.tissue_fractions, np.broadcast_to([1.0, 0.0, 0.0], (2, 2, 2, 3)))


def test_outside_the_outline_there_is_no_signal_and_inside_the_rest_is_filled():
    bundle = straight("thin", np.zeros(3), np.array([1.0, 0.0, 0.0]), 1.0)
    outline = Region.ball("outline", np.zeros(3), 6.0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -7.0
    geometry = geometry_of(bundle, outline=outline, fill="gm")
    samples = sample(geometry, FEW, (8, 8, 8), affine)
    direct = direct_sum(
        (StraightBundle(np.zeros(3), np.array([1.0, 0, 0]), 1.0),), (), FEW, (8, 8, 8), affine,
        outline=Ball(np.zeros(3), 6.0),
    )  # fmt: skip
    np.testing.assert_allclose(samples.tissue_fractions, direct.tissues, atol=1e-9)
    np.testing.assert_allclose(samples.noise_free, direct.signal, atol=2e-3)
    assert (samples.noise_free[0, 0, 0] == 0).all()
    pure = samples.tissue_fractions[..., 1] == 1.0
    np.testing.assert_allclose(
        samples.noise_free[pure], np.broadcast_to(GREY_MATTER.signal(FEW.bvalues), (pure.sum(), 33))
    )


def test_inside_the_white_surface_alone_are_fibres():
    bundle = straight("all", np.zeros(3), FRAME[:, 0], 100.0)
    white = Region.ball("white", np.zeros(3), 5.0, tissue="gm")
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -5.5
    samples = sample(geometry_of(bundle, white_surface=white), FEW, (12, 12, 12), affine)
    volume = samples.tissue_fractions[..., 0].sum()
    assert volume == pytest.approx(4 / 3 * np.pi * 125, rel=0.01)


def test_folded_regions_are_sampled_as_their_formula_says():
    generator = np.random.default_rng(0)
    waves = np.c_[8.0 * generator.standard_normal((4, 3)), generator.uniform(0, 6, 4)]
    folded = Region("folded", np.array([0.3, 0, 0]), np.array([5.0, 6.0, 4.0]), amplitude=0.3, waves=waves)
    points = generator.uniform(-8, 8, (4000, 3))
    q = (points - folded.centre) / folded.semi_axes
    radius = np.linalg.norm(q, axis=1)
    height = np.mean([np.sin((q / radius[:, None]) @ wave[:3] + wave[3]) for wave in waves], axis=0)
    np.testing.assert_array_equal(contains(folded, points), radius <= 1 + 0.3 * height)
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = -8.0
    thin = straight("thin", np.zeros(3), FRAME[:, 0], 0.01)
    samples = sample(geometry_of(thin, regions=[folded]), FEW, (33, 33, 33), affine, subsamples=1)
    centres = np.indices((33, 33, 33)).reshape(3, -1).T * 0.5 - 8.0
    np.testing.assert_array_equal(samples.tissue_fractions[..., 2].ravel() == 1.0, contains(folded, centres))


def test_tubes_of_curves_hold_the_points_near_the_curve():
    geometry = tangle_geometry(2, extent_mm=20.0, seed=3)
    shape, affine = (20, 20, 20), np.eye(4)
    affine[:3, 3] = -9.5
    samples = sample(replace(geometry, regions=(), outline=None), FEW, shape, affine, subsamples=1)
    points = np.indices(shape).reshape(3, -1).T - 9.5
    for number, bundle in enumerate(geometry.bundles):
        line = trace(bundle, largest_turn=0.006)  # dense: a distance to its samples is one to the curve
        distance, nearest = KDTree(line.points).query(points)
        between = (nearest > 0) & (nearest < len(line.points) - 1)
        clear = np.abs(distance - bundle.radii[0]) > 0.02
        inside = by_bundle(samples.fractions, samples.bundles, number).ravel() > 0
        np.testing.assert_array_equal(inside[between & clear], distance[between & clear] < bundle.radii[0])
        found = np.where((samples.bundles == number)[..., None], samples.directions, 0).sum(axis=-2).reshape(-1, 3)
        chosen = inside & between
        assert axial_angle(found[chosen].astype(float), line.tangents[nearest[chosen]]).max() < 0.5


def test_bundles_of_a_voxel_are_listed_largest_first(mixed):
    samples, _ = mixed
    assert (np.diff(samples.fractions, axis=-1) <= 0).all()
    np.testing.assert_array_equal(samples.bundles >= 0, samples.fractions > 0)
    np.testing.assert_allclose(np.linalg.norm(samples.directions, axis=-1), samples.fractions > 0, atol=1e-6)
    np.testing.assert_allclose(samples.fractions.sum(axis=-1), samples.tissue_fractions[..., 0], atol=1e-6)


def test_numbers_do_not_depend_on_threads_or_blocks(monkeypatch):
    geometry = tangle_geometry(3, extent_mm=20.0, seed=1)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -9.0
    first = sample(geometry, FEW, (10, 10, 10), affine)
    monkeypatch.setattr(sampling, "BLOCK", 37)
    for threads in (1, 3):
        monkeypatch.setattr(sampling, "usable_processors", lambda threads=threads: threads)
        again = sample(geometry, FEW, (10, 10, 10), affine)
        for name in ("noise_free", "directions", "fractions", "bundles", "tissue_fractions", "fods", "endpoints"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_ends_are_labelled_where_the_bundle_enters_and_leaves_the_volume():
    bundle = straight("along x", np.zeros(3), np.array([1.0, 0.0, 0.0]), 3.0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -9.0
    labels = sample(geometry_of(bundle), FEW, (10, 10, 10), affine).endpoints
    assert set(np.unique(labels[:2])) == {0, 1}
    assert set(np.unique(labels[-2:])) == {0, 2}
    assert (labels[3:-3] == 0).all()


def test_a_bundle_outside_the_volume_is_an_error_that_names_it():
    geometry = geometry_of(
        straight("here", np.zeros(3), FRAME[:, 0], 2.0), straight("far", np.full(3, 500.0), FRAME[:, 0], 2.0)
    )
    with pytest.raises(SimulationError, match=r"bundle far.*outside the volume of 8 × 7 × 6"):
        sample(geometry, FEW, SHAPE, oblique_flipped())
