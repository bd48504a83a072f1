import numpy as np
import pytest
import torch

from shd.scans.neighbourhood import neighbourhood
from shd.scans.normalisation import NormalisedScan
from shd.simulation.protocols import CLINICAL, protocol_gradients
from tests.support.symmetries import voxel_symmetries

SHAPE, VALUES = (4, 5, 3), 7


def scan_of(mask):
    rows = np.full(mask.shape, -1)
    rows[mask] = np.arange(mask.sum())
    count = int(mask.sum())
    gradients = protocol_gradients(CLINICAL)
    return NormalisedScan(np.ones((count, 33), np.float32), np.ones(count, np.float32), rows, gradients, np.eye(4))


def field(seed=0):
    """Random values of either sign on the grid, and a random mask."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((*SHAPE, VALUES)).astype(np.float32), generator.random(SHAPE) < 0.7


def whole(values, mask):
    """The mean on the grid, zero outside the mask."""
    out = np.zeros_like(values)
    out[mask] = neighbourhood(scan_of(mask))(torch.from_numpy(values[mask])).numpy()
    return out


def test_the_mean_is_that_of_loops_over_faces():
    values, mask = field()
    found = whole(values, mask)
    for voxel in map(tuple, np.argwhere(mask)):
        total = np.zeros(VALUES)
        for axis in range(3):
            for step in (-1, 1):
                other = list(voxel)
                other[axis] += step
                inside = 0 <= other[axis] < SHAPE[axis] and mask[tuple(other)]
                total += np.maximum(values[tuple(other) if inside else voxel], 0)
        np.testing.assert_allclose(found[voxel], total / 6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("block", [20, 59, 60])
def test_blocks_do_not_show(block):
    """Wide fields are taken in blocks of 2²² values."""
    mask = np.ones(SHAPE, bool)
    values = torch.randn(60, (1 << 22) // block, generator=torch.Generator().manual_seed(0))
    found = neighbourhood(scan_of(mask))(values)
    torch.testing.assert_close(found[:, :5], neighbourhood(scan_of(mask))(values[:, :5].contiguous()))


@pytest.mark.parametrize("symmetry", voxel_symmetries())
def test_turning_and_mirroring_the_grid_turns_the_mean(symmetry):
    values, mask = field()
    act = symmetry.acting_on(0)
    turned = [act(torch.from_numpy(part)).contiguous().numpy() for part in (values, mask)]
    np.testing.assert_allclose(whole(*turned), act(torch.from_numpy(whole(values, mask))), rtol=1e-6, atol=1e-6)


def test_a_constant_stays_constant_up_to_the_border():
    _, mask = field()
    np.testing.assert_allclose(whole(np.full((*SHAPE, 2), 0.4, np.float32), mask)[mask], 0.4, rtol=1e-6)


def test_it_is_self_adjoint_keeps_the_sum_and_shrinks():
    """So ⟨m, m − N m⟩ is a convex penalty, whose gradient is m − N m."""
    _, mask = field()
    beside, generator = neighbourhood(scan_of(mask)), torch.Generator().manual_seed(0)
    a, b = (torch.rand(int(mask.sum()), VALUES, generator=generator, dtype=torch.float64) for _ in range(2))
    assert float((a * beside(b)).sum()) == pytest.approx(float((b * beside(a)).sum()), rel=1e-12)
    torch.testing.assert_close(beside(a).sum(0), a.sum(0))
    assert float((a * (a - beside(a))).sum()) > 0


def test_one_voxel_stands_for_its_neighbours():
    values = torch.tensor([[1.0, -1.0, 0.5]])
    torch.testing.assert_close(neighbourhood(scan_of(np.ones((1, 1, 1), bool)))(values), values.clamp(min=0))


def test_an_empty_mask_has_no_neighbours():
    assert neighbourhood(scan_of(np.zeros(SHAPE, bool)))(torch.ones(0, VALUES)).shape == (0, VALUES)


def test_the_field_is_left_as_it_is():
    values, mask = field()
    state = torch.from_numpy(values[mask])
    kept = state.clone()
    neighbourhood(scan_of(mask))(state)
    assert torch.equal(state, kept)
