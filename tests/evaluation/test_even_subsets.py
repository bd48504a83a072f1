"""Directions dealt out: every one once, each part as even as chance never makes it."""

import numpy as np
import pytest

from shd.errors import EvaluationError
from shd.evaluation.even_subsets import check_remaining, even_subsets, subset_energy
from shd.signal.gradients import gradient_table
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients

GRADIENTS = protocol_gradients(RESEARCH)


def test_every_weighted_volume_is_in_one_part_and_no_b0():
    parts = even_subsets(GRADIENTS, 5)
    everything = np.concatenate(parts)
    assert sorted(everything.tolist()) == np.flatnonzero(GRADIENTS.bvalues > 0).tolist()
    for shell in GRADIENTS.weighted_shells:
        sizes = [len(np.intersect1d(part, shell.volumes)) for part in parts]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_parts_are_more_even_than_any_of_a_thousand_drawn_at_random(count):
    generator = np.random.default_rng(0)
    shell = GRADIENTS.shells[3]
    directions = GRADIENTS.shell_directions(shell)
    parts = [
        np.searchsorted(shell.volumes, np.intersect1d(part, shell.volumes)) for part in even_subsets(GRADIENTS, count)
    ]
    ours = sum(subset_energy(directions[part]) for part in parts)
    shuffled = (np.array_split(generator.permutation(60), count) for _ in range(1000))
    assert ours < min(sum(subset_energy(directions[part]) for part in split) for split in shuffled)


def test_energy_of_two_axes_by_hand():
    square = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    assert subset_energy(square) == pytest.approx(2 / np.sqrt(2))
    assert subset_energy(-square) == subset_energy(square)


def test_an_axis_measured_twice_goes_into_different_parts():
    axes = protocol_gradients(CLINICAL).directions[3:]
    table = gradient_table(np.r_[0.0, np.full(60, 1000.0)], np.concatenate([np.zeros((1, 3)), axes, -axes]))
    first, second = even_subsets(table, 2)
    assert len(set((first - 1) % 30)) == 30
    assert len(set((second - 1) % 30)) == 30


def test_the_same_table_gives_the_same_parts():
    for first, second in zip(even_subsets(GRADIENTS, 4), even_subsets(GRADIENTS, 4), strict=True):
        np.testing.assert_array_equal(first, second)


def test_impossible_numbers_are_refused():
    with pytest.raises(EvaluationError, match="1 part: "):
        even_subsets(GRADIENTS, 1)
    with pytest.raises(EvaluationError, match="b=1000 has 30 directions, too few for 31"):
        even_subsets(GRADIENTS, 31)


def test_a_shell_left_with_too_few_axes_is_refused():
    keeps_five = np.concatenate([np.arange(6), np.arange(6, 11), np.arange(36, 126)])
    with pytest.raises(EvaluationError, match="b=1000 has 30 directions, of which 5 would remain, but 6"):
        check_remaining(GRADIENTS, keeps_five)
    check_remaining(GRADIENTS, np.append(keeps_five, 12))
