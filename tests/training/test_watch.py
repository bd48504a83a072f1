"""What a training keeps of its validations: the weights of the best, patience, and a state to go on from."""

import pytest
import torch

from shd._version import __version__
from shd.errors import CheckpointError
from shd.training.watch import Watch, scored

SCORES = (0.5, 0.4, 0.7, 0.7, float("nan"), 0.6)  # of the untrained network first
LEFT = (0, 1, 0, 1, 2, 3)  # validations since the best


def watched(scores, patience=None):
    """A network whose one weight is the number of the validation, watched."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    watch, seen = Watch(network, "abc", patience), []
    for step, score in enumerate(scores):
        torch.nn.init.constant_(network.weight, step)
        watch.add({"step": step, "held_out": score}, score)
        seen.append((watch.without_better, watch.exhausted))
    return watch, seen


def test_the_first_of_the_highest_scores_is_kept_and_patience_counts_from_it():
    watch, seen = watched(SCORES, patience=2)
    assert [left for left, _ in seen] == list(LEFT)
    assert [ended for _, ended in seen] == [left >= 2 for left in LEFT]
    assert watch.best["weight"].item() == 2 and watch.best_score == 0.7
    assert [row["step"] for row in watch.history] == list(range(6))
    assert not watched(SCORES)[0].exhausted


def test_an_untrained_network_without_a_score_costs_no_patience():
    watch, seen = watched((float("nan"), float("nan"), 0.1), patience=1)
    assert seen == [(0, False), (1, True), (0, False)] and watch.best["weight"].item() == 2


def test_what_is_saved_is_taken_up():
    watch, _ = watched(SCORES)
    tensors, numbers = watch.state()
    other, _ = watched(())
    other.load_state(tensors, numbers | {"version": __version__})
    assert other.best["weight"].item() == 2 and other.history == watch.history
    assert (other.best_score, other.without_better) == (0.7, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "0.0.1"}, "was saved by shd 0.0.1, this is"),
        ({"fingerprint": "xyz"}, r"\(fingerprint xyz\) had other"),
    ],
)
def test_a_state_of_another_training_or_version_is_refused(changed, message):
    tensors, numbers = watched(SCORES)[0].state()
    other, _ = watched(())
    with pytest.raises(CheckpointError, match=message):
        other.load_state(tensors, numbers | {"version": __version__} | changed)
    assert other.history == []


def test_names_of_terms_say_what_was_scored():
    assert scored("loss") == "held_out" and scored("dice") == "held_out_dice"
    assert scored("dice", "on_learned") == "on_learned_dice"
