"""The losses of segmentation against loops over voxels, at the mask's border, and their gradients."""

import numpy as np
import pytest
import torch

from shd.training.losses.segmentation import IGNORED, cross_entropy, dice_loss

SHAPE = (2, 3, 3, 2, 2)  # batch label x y z


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 3, 2, 2), generator=generator)
    labels[0, 0] = IGNORED
    return logits, labels


def voxels(logits, labels):
    """Label and probabilities of every voxel that counts."""
    for place in np.ndindex(*labels.shape):
        if labels[place] != IGNORED:
            values = logits[place[0], :, place[1], place[2], place[3]].numpy()
            yield int(labels[place]), np.exp(values) / np.exp(values).sum()


def test_cross_entropy_is_a_weighted_mean_over_voxels(case):
    weights = [0.2, 0.5, 0.3]
    terms = [(weights[label], -np.log(chance[label])) for label, chance in voxels(*case)]
    expected = sum(w * v for w, v in terms) / sum(w for w, _ in terms)
    found = cross_entropy(*case, torch.tensor(weights, dtype=torch.float64))
    assert float(found) == pytest.approx(expected)


def test_dice_loss_is_one_minus_the_mean_over_foreground_labels(case):
    scores = []
    for label in (1, 2):
        both = sum(chance[label] for true, chance in voxels(*case) if true == label)
        predicted = sum(chance[label] for _, chance in voxels(*case))
        true = sum(true == label for true, _ in voxels(*case))
        scores.append((2 * both + 1) / (predicted + true + 1))
    assert float(dice_loss(*case)) == pytest.approx(1 - np.mean(scores))


def test_what_lies_outside_the_mask_has_no_influence(case):
    logits, labels = case
    other = logits.clone()
    other[0, :, 0] += 7.0
    weights = torch.ones(3, dtype=torch.float64)
    assert torch.equal(cross_entropy(logits, labels, weights), cross_entropy(other, labels, weights))
    assert torch.equal(dice_loss(logits, labels), dice_loss(other, labels))


def test_a_batch_without_any_voxel_of_the_mask_is_harmless(case):
    logits, labels = case[0].clone().requires_grad_(), torch.full_like(case[1], IGNORED)
    loss = cross_entropy(logits, labels, torch.ones(3, dtype=torch.float64)) + dice_loss(logits, labels)
    loss.backward()
    assert float(loss.detach()) == 0.0 and not logits.grad.any()


def test_a_perfect_answer_has_no_loss():
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    labels[0, 0] = 1
    logits = torch.stack([-50.0 * (labels - 0.5), 50.0 * (labels - 0.5)], dim=1)
    assert float(cross_entropy(logits, labels, torch.ones(2))) < 1e-6
    assert float(dice_loss(logits, labels)) < 1e-6


def test_gradients(case):
    logits, labels = case[0].requires_grad_(), case[1]
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, labels, weights), logits)
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, labels), logits)
