"""Boxes to learn from: functions of their number, around labels as often as stated, and turned as a scan would be."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from shd.errors import ScanError
from shd.scans.q_table import QTable
from shd.scans.voxels import Voxels
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import even_harmonics
from shd.training.losses.segmentation import IGNORED
from shd.training.segmentation_patches import LabelledSignal, Patches, label_frequencies, turns_of

TABLE = QTable(
    np.repeat([0.0, 1000.0], [1, 24]), np.vstack([np.zeros(3), half_sphere(24)]), Voxels((2.0, 2.0, 2.0), True)
)


def subject(seed, shape=(9, 8, 7), points=2, labelled=3):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    labels[:2] = IGNORED
    places = np.argwhere(labels == 0)
    labels[tuple(places[rng.choice(len(places), labelled, replace=False)].T)] = 1 + seed % 2
    return LabelledSignal(f"s{seed}", rng.standard_normal((points, *shape)).astype(np.float32), labels)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_stated_share_of_boxes_is_around_labelled_voxels(share):
    """One-voxel boxes show their voxel: each label is hit equally often, though one is rarer."""
    subjects = [subject(0, labelled=20), subject(1, labelled=2)]
    patches = Patches(subjects, 1, 3, share, seed=5)
    labels = np.concatenate([patches.batch(number, 50)[1].numpy().ravel() for number in range(40)])
    assert not (labels == IGNORED).any()
    frequencies = label_frequencies(subjects, 3)
    for label in (1, 2):
        # boxes drawn anywhere hit one subject as often as the other
        anywhere = np.mean([(s.labels == label).sum() / (s.labels != IGNORED).sum() for s in subjects])
        expected = share / 2 + (1 - share) * anywhere
        assert np.mean(labels == label) == pytest.approx(expected, abs=0.045)
    assert frequencies.sum() == pytest.approx(1.0) and frequencies[2] < frequencies[1]


def test_a_batch_is_a_function_of_its_number_and_the_seed():
    first, again, other = (Patches([subject(0)], 4, 2, 0.5, seed, noise=0.1) for seed in (1, 1, 2))
    one, same, changed = (patches.batch(7, 3)[0] for patches in (first, again, other))
    assert one.equal(same) and not one.equal(changed)
    assert not one.equal(first.batch(8, 3)[0])


def test_boxes_lie_in_the_scan_and_signals_belong_to_their_labels():
    held = subject(0)
    held.signal[0] = np.arange(held.labels.size).reshape(held.labels.shape)
    for number in range(20):
        signals, labels = Patches([held], 5, 2, 0.5, 0).batch(number, 1)
        assert signals.shape == (1, 2, 5, 5, 5)
        np.testing.assert_array_equal(labels[0].numpy().ravel(), held.labels.ravel()[signals[0, 0].long().ravel()])


def test_every_voxel_of_a_label_or_of_the_mask_is_drawn_and_no_other():
    held = subject(3, shape=(6, 5, 4), labelled=5)
    held.signal[0] = np.arange(held.labels.size).reshape(held.labels.shape)
    for share, wanted in ((1.0, held.labels == 2), (0.0, held.labels != IGNORED)):
        drawn = Patches([held], 1, 3, share, 0).batch(0, 1500)[0][:, 0].long().unique().numpy()
        np.testing.assert_array_equal(drawn, np.flatnonzero(wanted))


def test_drawing_takes_no_memory_by_the_voxel():
    labels = np.zeros((100, 100, 100), np.uint8)
    labels[:50, 20:70] = 1
    held = LabelledSignal("large", np.zeros((1, *labels.shape), np.float32), labels)
    tracemalloc.start()
    patches = Patches([held], 2, 2, 0.5, 0)
    patches.batch(0, 4)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < labels.nbytes / 20


def test_boxes_are_no_longer_than_the_shortest_grid():
    patches = Patches([subject(0), subject(1, shape=(12, 5, 9))], 8, 3, 0.5, 0)
    assert patches.batch(0, 2)[0].shape == (2, 2, 8, 5, 7)


def test_noise_is_added_inside_the_mask_alone():
    held = subject(0)
    quiet, loud = (Patches([held], 7, 2, 0.5, 0, noise=noise).batch(3, 8) for noise in (0.0, 0.2))
    assert quiet[1].equal(loud[1])
    difference, inside = (loud[0] - quiet[0]).numpy(), (quiet[1] != IGNORED).numpy()
    assert not difference[np.broadcast_to(~inside[:, None], difference.shape)].any()
    assert difference[np.broadcast_to(inside[:, None], difference.shape)].std() == pytest.approx(0.2, rel=0.05)


def test_a_turned_box_is_what_a_turned_head_would_give():
    """S'(g, x) = S(R⁻¹g, R⁻¹x) for a signal of degree 4 whose coefficients depend on the place."""
    rng = np.random.default_rng(0)
    shape = (3, 3, 3)
    coefficients = rng.standard_normal((*shape, 15))
    box = np.zeros((25, *shape), np.float32)
    box[0] = rng.random(shape)
    box[1:] = np.moveaxis(coefficients @ even_harmonics(TABLE.directions[1:], 4).T, -1, 0)
    turns = turns_of(TABLE)
    assert len({(turn.axes, turn.signs) for turn in turns}) == 24
    for turn in turns:
        rotation = np.zeros((3, 3))
        rotation[range(3), turn.axes] = turn.signs
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        turned, basis = turn.signal(box), even_harmonics(TABLE.directions[1:] @ rotation, 4)  # of R⁻¹g
        for place in np.ndindex(shape):
            source = tuple(np.round(rotation.T @ (np.array(place) - 1)).astype(int) + 1)
            np.testing.assert_allclose(turned[(slice(1, None), *place)], basis @ coefficients[source], atol=1e-4)
            assert turned[(0, *place)] == pytest.approx(box[(0, *source)])


def test_boxes_of_voxels_that_are_no_cubes_are_not_turned():
    assert len(turns_of(replace(TABLE, voxels=Voxels((2.0, 2.0, 2.2), True)))) == 24
    with pytest.raises(ScanError, match=r"voxels of 2 × 2 × 2.5 mm are no cubes .* give no --turn, .* -voxel 2.5"):
        turns_of(replace(TABLE, voxels=Voxels((2.0, 2.0, 2.5), True)))
