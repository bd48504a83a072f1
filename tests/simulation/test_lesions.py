"""Lesions: where they are, how large, what they do to signal, diffusivity and anisotropy, and what cannot be."""

from dataclasses import replace

import numpy as np
import pytest

import shd
from shd.errors import SimulationError
from shd.simulation.geometry import Region
from shd.simulation.lesions import Lesion, LesionPlan, draw_lesions, lesion_share, with_lesions
from shd.simulation.phantoms import centred_grid
from shd.simulation.protocols import Protocol, protocol_gradients
from shd.simulation.sampling import Samples
from shd.simulation.tissues import B0_INTENSITY, CSF, WHITE_MATTER, FreeWater
from shd.sphere.rotations import random_rotation
from tests.support.affines import AFFINES

PROTOCOL = Protocol("small", 2, ((1000.0, 12),))
GRADIENTS = protocol_gradients(PROTOCOL)
SHAPE, AFFINE = centred_grid(np.full(3, 40.0), 2.0)


def samples_of(white, fluid):
    """Voxels along one fibre direction, of given shares of white matter and CSF, the rest grey matter."""
    along = GRADIENTS.directions @ np.array([0.6, 0.0, 0.8])
    tissues = np.stack([white, 1.0 - white - fluid, fluid], axis=-1)
    signals = (WHITE_MATTER.signal(GRADIENTS.bvalues, along), FreeWater(0.8e-3).signal(GRADIENTS.bvalues))
    signal = sum(tissues[..., k, None] * each for k, each in enumerate((*signals, CSF.signal(GRADIENTS.bvalues))))
    shape = white.shape
    return Samples(
        signal.astype(np.float32), np.ones((*shape, 1, 3), np.float32), white[..., None].astype(np.float32),
        np.zeros((*shape, 1), np.int16), tissues, np.ones((*shape, 91), np.float32), np.zeros(shape, np.int16),
    )  # fmt: skip


def ball(radius, severity=0.5, diffusivity=1.5e-3, centre=(0.0, 0.0, 0.0), axes=None):
    shape = Region("lesion", np.zeros(3), np.full(3, radius) if axes is None else np.array(axes))
    rotation = random_rotation(np.random.default_rng(3))
    return Lesion(shape, np.array(centre), rotation, severity, diffusivity)


def head(**choices):
    options = {"protocol": PROTOCOL, "extent": 90.0, "voxel_mm": 3.0, "subsamples": 2, "seed": 1} | choices
    return shd.simulate("brain", **options)


@pytest.fixture(scope="module")
def healthy():
    return head(snr=None)


@pytest.fixture(scope="module")
def ill():
    return head(snr=None, lesions=LesionPlan(5, radius_mm=(4.0, 7.0)))


def test_a_lesion_has_the_volume_of_its_ellipsoid_in_any_grid():
    for affine in (AFFINE, AFFINES["permuted"], AFFINES["oblique"]):
        centre = affine[:3, :3] @ np.array([10.2, 9.7, 10.0]) + affine[:3, 3]
        box, share = lesion_share(ball(0, centre=centre, axes=(6.0, 4.0, 3.0)), SHAPE, affine, 4)
        volume = share.sum() * abs(np.linalg.det(affine[:3, :3]))
        assert volume == pytest.approx(4 / 3 * np.pi * 72.0, rel=0.02)
        assert all(part.stop <= 20 for part in box)


def test_the_share_of_a_voxel_is_that_of_its_points():
    rng = np.random.default_rng(0)
    (lesion,) = draw_lesions(LesionPlan(1), np.ones((*SHAPE, 3)) * [1.0, 0.0, 0.0], AFFINE, rng)
    box, share = lesion_share(lesion, SHAPE, AFFINE, 2)
    whole = np.zeros(SHAPE)
    whole[box] = share
    for voxel in [*np.argwhere(whole > 0)[::7], *np.argwhere(whole == 0)[::997]]:
        points = [
            AFFINE[:3, :3] @ (voxel + np.array([a, b, c])) + AFFINE[:3, 3]
            for a in (-0.25, 0.25) for b in (-0.25, 0.25) for c in (-0.25, 0.25)
        ]  # fmt: skip
        inside = [bool(lesion.holds(point[None])[0]) for point in points]
        assert whole[tuple(voxel)] == pytest.approx(np.mean(inside))


def test_a_lesion_at_the_edge_is_cut_off_and_one_beyond_it_changes_nothing():
    samples = samples_of(np.ones(SHAPE), np.zeros(SHAPE))
    for centre, some in (((-20.0, 0.0, 0.0), True), ((-90.0, 0.0, 0.0), False)):
        _, share = with_lesions(samples, [ball(5.0, centre=centre)], GRADIENTS, AFFINE, 2)
        assert share.any() == some


def test_the_signal_is_a_mixture_in_proportion():
    white = np.full(SHAPE, 0.5)
    samples = samples_of(white, np.full(SHAPE, 0.2))
    changed, share = with_lesions(samples, [ball(7.0, severity=0.4)], GRADIENTS, AFFINE, 2)
    full = share >= 0.8 - 1e-9  # all that is no fluid
    assert full.any() and share.max() == pytest.approx(0.8)
    free = FreeWater(1.5e-3).signal(GRADIENTS.bvalues)
    fluid = 0.2 * CSF.signal(GRADIENTS.bvalues)
    solid = samples.noise_free[0, 0, 0] - fluid
    expected = 0.6 * solid + 0.4 * 0.8 * free + fluid
    np.testing.assert_allclose(changed.noise_free[full], np.broadcast_to(expected, (full.sum(), 14)), rtol=1e-5)
    np.testing.assert_array_equal(changed.noise_free[share == 0], samples.noise_free[share == 0])
    np.testing.assert_allclose(changed.tissue_fractions[full], [[0.3, 0.18, 0.2]] * full.sum(), atol=1e-6)
    np.testing.assert_allclose(changed.fractions[full], 0.3, atol=1e-6)
    np.testing.assert_allclose(changed.fods[full], 0.6, atol=1e-6)
    half = (share > 0.3) & (share < 0.5)
    between = changed.noise_free[half][:, 3]
    low, high = sorted((float(expected[3]), float(samples.noise_free[0, 0, 0, 3])))
    assert ((between > low) & (between < high)).all()


def test_diffusivity_rises_and_anisotropy_falls(ill, healthy):
    lesion = (ill.lesion_fractions > 0.95) & (healthy.tissue_fractions[..., 0] > 0.95)
    assert lesion.sum() > 5
    weighted = ill.scan.gradients.weighted_shells[0].volumes
    decay = {}
    for name, phantom in (("ill", ill), ("healthy", healthy)):
        decay[name] = -np.log(phantom.noise_free[lesion][:, weighted] / B0_INTENSITY) / 1000.0
    assert (decay["ill"].mean(axis=1) > decay["healthy"].mean(axis=1)).all()
    assert (decay["ill"].std(axis=1) < decay["healthy"].std(axis=1)).all()
    assert 0.85e-3 < decay["ill"].mean() < 1.35e-3


def test_nothing_shows_at_b0(ill, healthy):
    np.testing.assert_allclose(ill.noise_free[..., 0], healthy.noise_free[..., 0], rtol=1e-4, atol=0.01)


def test_outside_of_lesions_the_scan_is_as_without_and_so_is_the_mask(ill, healthy):
    away = ill.lesion_fractions == 0
    np.testing.assert_array_equal(ill.noise_free[away], healthy.noise_free[away])
    np.testing.assert_array_equal(ill.scan.mask, healthy.scan.mask)
    assert healthy.lesion_fractions is None and healthy.lesions == ()
    assert len(ill.lesions) == 5 and ill.lesion_fractions.min() >= 0 and ill.lesion_fractions.max() <= 1 + 1e-9


def test_the_seed_decides_lesions_and_noise():
    first, again, other = (head(lesions=4, seed=seed, snr=15.0) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.scan.data, again.scan.data)
    np.testing.assert_array_equal(first.lesion_fractions, again.lesion_fractions)
    assert not np.array_equal(first.lesion_fractions, other.lesion_fractions)


def test_lesions_keep_apart_and_lie_in_white_matter(healthy):
    plan = LesionPlan(8, radius_mm=(2.0, 4.0))
    lesions = draw_lesions(plan, healthy.tissue_fractions, healthy.scan.affine, np.random.default_rng(5))
    inverse = np.linalg.inv(healthy.scan.affine)
    for number, lesion in enumerate(lesions):
        voxel = np.round(lesion.centre @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        assert healthy.tissue_fractions[tuple(voxel)][0] >= 0.7
        for other in lesions[:number]:
            assert np.linalg.norm(lesion.centre - other.centre) > lesion.reach + other.reach


def test_lesions_are_more_likely_beside_the_ventricles():
    """A slab of fluid in the middle of white matter: by the odds, four times as many a volume near to it."""
    fluid = np.zeros(SHAPE)
    fluid[9:11, 6:14, 6:14] = 1.0
    tissues = np.stack([1.0 - fluid, np.zeros(SHAPE), fluid], axis=-1)
    rng = np.random.default_rng(0)
    held = np.argwhere(fluid > 0)
    near = np.zeros(SHAPE)
    for voxel in np.ndindex(SHAPE):
        near[voxel] = np.linalg.norm((held - voxel) * 2.0, axis=1).min() <= 6.0
    near *= fluid == 0
    far = (near == 0) & (fluid == 0)
    inverse, hits = np.linalg.inv(AFFINE), 0
    for _ in range(600):
        (lesion,) = draw_lesions(LesionPlan(1, radius_mm=(1.0, 1.0)), tissues, AFFINE, rng)
        voxel = np.round(lesion.centre @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        hits += bool(near[tuple(voxel)])
    expected = 4 * near.sum() / (4 * near.sum() + far.sum())
    assert hits / 600 == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 600))


def test_a_rotated_head_has_the_same_gradients_along_its_grid_and_a_truth_that_turned():
    from shd.scans.q_table import q_table

    upright, turned = (head(snr=None, rotate=rotate, lesions=2) for rotate in (False, True))
    tables = q_table(upright.scan), q_table(turned.scan)
    np.testing.assert_allclose(tables[0].directions, tables[1].directions, atol=1e-12)
    rotation = turned.scan.rotation @ upright.scan.rotation.T
    assert not np.allclose(rotation, np.eye(3), atol=0.1)
    directions = turned.scan.gradients.directions
    np.testing.assert_allclose(directions, upright.scan.gradients.directions @ rotation.T, atol=1e-12)
    volume = [phantom.tissue_fractions.sum(axis=(0, 1, 2)) for phantom in (upright, turned)]
    np.testing.assert_allclose(volume[0][0], volume[1][0], rtol=0.02)
    single = np.argwhere(turned.fractions[..., 0] > 0.99)[:20]
    for voxel in map(tuple, single):  # the main direction explains the signal: lowest along it
        signal = turned.noise_free[voxel][turned.scan.gradients.weighted_shells[0].volumes]
        cosines = np.abs(directions[turned.scan.gradients.weighted_shells[0].volumes] @ turned.directions[voxel][0])
        assert cosines[signal.argmin()] > cosines[signal.argmax()] + 0.2


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"count": -1}, "-1 lesions"),
        ({"radius_mm": (0.0, 2.0)}, "lesions of 0 to 2 mm radius"),
        ({"radius_mm": (5.0, 2.0)}, "lesions of 5 to 2 mm radius"),
        ({"severity": (0.5, 1.5)}, "severity 0.5 to 1.5"),
        ({"diffusivity": (1.0, 3.0)}, "diffusivity 1 to 3 mm²/s"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(choices, message):
    with pytest.raises(SimulationError, match=message):
        LesionPlan(**({"count": 1} | choices))


def test_lesions_without_white_matter_or_room_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(SimulationError, match="0 voxels with 70 % white matter"):
        draw_lesions(LesionPlan(1), np.zeros((*SHAPE, 3)), AFFINE, rng)
    full = np.ones((*SHAPE, 3)) * [1.0, 0.0, 0.0]
    with pytest.raises(SimulationError, match=r"of 50 lesions of up to 9 mm found room"):
        draw_lesions(LesionPlan(50, radius_mm=(9.0, 9.0)), full, AFFINE, rng)
    assert draw_lesions(replace(LesionPlan(1), count=0), full, AFFINE, rng) == ()
