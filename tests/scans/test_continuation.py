import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from shd.graphs.hemisphere import symmetry_permutations, vertex_directions
from shd.scans.continuation import continuation
from shd.scans.normalisation import NormalisedScan
from shd.simulation.protocols import CLINICAL, protocol_gradients
from tests.support.affines import AFFINES

VERTICES = vertex_directions(4)
SHAPE = (5, 6, 4)
SHEARED = np.array([[2.0, 1.5, 0.0, 0.0], [0.0, 2.0, 0.7, 0.0], [0.0, 0.0, 2.5, 0.0], [0.0, 0.0, 0.0, 1.0]])
affines = pytest.mark.parametrize("affine", [*AFFINES.values(), SHEARED], ids=[*AFFINES, "sheared"])


def scan_of(mask, affine=AFFINES["RAS"]):
    rows = np.full(mask.shape, -1)
    rows[mask] = np.arange(mask.sum())
    count = int(mask.sum())
    gradients = protocol_gradients(CLINICAL)
    return NormalisedScan(np.ones((count, 33), np.float32), np.ones(count, np.float32), rows, gradients, affine)


def field(seed=0, shape=SHAPE, vertices=VERTICES):
    """A random state of either sign on a random mask, with two unknowns more than vertices."""
    generator = np.random.default_rng(seed)
    mask = generator.random(shape) < 0.8
    return generator.standard_normal((int(mask.sum()), len(vertices) + 2)).astype(np.float32), mask


def volume(state, mask):
    """The non-negative part on the grid, zero outside the mask."""
    out = np.zeros((*mask.shape, len(VERTICES)))
    out[mask] = np.maximum(state[:, : len(VERTICES)], 0)
    return out


def by_interpolation(values, mask, affine, step_mm):
    """The mean of what scipy interpolates at x ± h·u, in scanner space, for every voxel of the mask and vertex."""
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    out = np.zeros((len(places), len(VERTICES)))
    for vertex, direction in enumerate(VERTICES):
        for sign in (1, -1):
            index = (places + sign * step_mm * direction - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
            out[:, vertex] += 0.5 * map_coordinates(values[..., vertex], index.T, order=1, mode="grid-constant")
    return out


@affines
def test_it_is_what_scipy_interpolates_ahead_and_behind(affine):
    """The step is a voxel's shortest edge; where shear would carry it beyond the neighbours it is shorter."""
    state, mask = field()
    linear = affine[:3, :3]
    step = np.linalg.norm(linear, axis=0).min()
    step /= max(1.0, np.abs(step * VERTICES @ np.linalg.inv(linear).T).max())
    assert (step < 1.99) == (affine is SHEARED)
    found = continuation(scan_of(mask, affine), VERTICES)(torch.from_numpy(state))
    np.testing.assert_allclose(found, by_interpolation(volume(state, mask), mask, affine, step), atol=3e-6)


@affines
def test_the_compiled_loop_is_the_readable_one(affine):
    state, mask = field()
    onward, values = continuation(scan_of(mask, affine), VERTICES), torch.from_numpy(state)
    readable = onward._gathered(values, values.new_empty(len(values), len(VERTICES)))
    torch.testing.assert_close(onward(values), readable, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2047, 2048, 2049, 5000])
def test_blocks_of_voxels_and_threads_do_not_show(count, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    mask = (np.arange(5000) < count).reshape(20, 25, 10)
    vertices = vertex_directions(1)
    state = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    onward = continuation(scan_of(mask), vertices)
    found = onward(state)
    assert found.shape == (count, 6)
    torch.testing.assert_close(found, onward._gathered(state, state.new_empty(count, 6)), rtol=1e-5, atol=1e-6)


@affines
def test_the_weights_of_every_direction_add_up_to_one(affine):
    onward = continuation(scan_of(np.ones(SHAPE, bool), affine), VERTICES)
    np.testing.assert_allclose(onward.weights.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(onward.weights, onward.weights[::-1])  # ahead and behind alike
    assert onward.weights.min() >= 0


@affines
def test_straight_fibres_go_on_as_they_are(affine):
    """Away from the border; at it the voxel ahead is missing, and with it its part."""
    mask = np.ones(SHAPE, bool)
    lobes = torch.rand(1, len(VERTICES), generator=torch.Generator().manual_seed(0)).expand(mask.sum(), -1).contiguous()
    found = continuation(scan_of(mask, affine), VERTICES)(lobes).numpy().reshape(*SHAPE, -1)
    inside = np.s_[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(found[inside], np.broadcast_to(lobes[0], found[inside].shape), rtol=1e-5)
    assert np.all(found[0, 0, 0] < 0.9 * lobes[0].numpy())


def test_a_bundle_is_not_blurred_into_what_runs_beside_it():
    """One row of voxels along x; vertices there are as close to the axis as the grid has them."""
    mask, axis = np.ones((7, 5, 5), bool), np.array([1.0, 0.0, 0.0])
    vertices = np.concatenate([[axis], VERTICES])
    state = torch.zeros(7, 5, 5, len(vertices))
    state[:, 2, 2, 0] = 1.0
    found = continuation(scan_of(mask), vertices)(state.reshape(-1, len(vertices))).reshape(state.shape)
    torch.testing.assert_close(found[1:-1, 2, 2, 0], torch.ones(5))
    torch.testing.assert_close(found[[0, -1], 2, 2, 0], torch.full((2,), 0.5))  # where it ends
    found[:, 2, 2, 0] = 0
    assert float(found.abs().max()) < 1e-6


def test_one_voxel_has_nothing_to_go_on_to_but_itself():
    """Oblique steps end between voxels, so that a part of the voxel itself remains."""
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    found = continuation(scan_of(mask), VERTICES)(torch.ones(1, len(VERTICES)))[0].numpy()
    np.testing.assert_allclose(found, np.prod(1 - np.abs(VERTICES), axis=1), atol=1e-6)


@affines
def test_it_is_self_adjoint_on_any_mask_and_no_larger_than_one(affine):
    """So m·(m − C m) is a convex penalty, whose gradient is m − C m."""
    _, mask = field()
    onward = continuation(scan_of(mask, affine), VERTICES)
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand(mask.sum(), len(VERTICES), generator=generator).double() for _ in range(2))
    forth, back = float((a * onward(b)).sum()), float((b * onward(a)).sum())
    assert forth == pytest.approx(back, rel=1e-9) and forth > 0
    assert float((a * (a - onward(a))).sum()) >= 0
    assert float(onward(torch.ones_like(a)).max()) <= 1 + 1e-6


@pytest.mark.parametrize("number", range(1, 8))
def test_turning_voxels_and_directions_together_turns_it(number):
    """Quarter turns about z and mirrors: the grid of voxels and that of directions both return to themselves."""
    matrix, permutation = symmetry_permutations(4)[number]
    state, mask = field(shape=(5, 5, 5))
    onward = continuation(scan_of(mask), VERTICES)
    order = np.abs(matrix).argmax(axis=1)
    flips = [axis for axis in range(3) if matrix[axis].sum() < 0]

    def turned(values):
        """The value at x goes to R x."""
        return np.flip(values.transpose(*order, *range(3, values.ndim)), flips)

    whole = volume(state, mask)
    still = np.zeros_like(whole)
    still[mask] = onward(torch.from_numpy(state)).numpy()
    turned_mask = turned(mask)
    moved = np.ascontiguousarray(turned(whole)[turned_mask][:, permutation], np.float32)
    found = continuation(scan_of(turned_mask), VERTICES)(torch.from_numpy(moved)).numpy()
    np.testing.assert_allclose(found, turned(still)[turned_mask][:, permutation], rtol=0, atol=1e-6)
    apart = continuation(scan_of(turned_mask), VERTICES)(
        torch.from_numpy(turned(whole)[turned_mask].astype(np.float32))
    )
    assert np.abs(apart.numpy() - turned(still)[turned_mask]).max() > 0.1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_storage_order_of_the_image_does_not_matter(order):
    """The same voxels in scanner space, stored along other axes and from the other end."""
    state, mask = field()
    affine = AFFINES["oblique"]
    still = np.zeros((*SHAPE, len(VERTICES)))
    still[mask] = continuation(scan_of(mask, affine), VERTICES)(torch.from_numpy(state)).numpy()
    stored = np.flip(mask.transpose(order), 0)
    change = np.eye(4)[[*order, 3]].T  # stored index → index, before the flip
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, stored.shape[0] - 1
    values = np.flip(volume(state, mask).transpose(*order, 3), 0)[stored].astype(np.float32)
    found = continuation(scan_of(stored, affine @ change @ flip), VERTICES)(torch.from_numpy(values))
    np.testing.assert_allclose(found, np.flip(still.transpose(*order, 3), 0)[stored], rtol=0, atol=2e-6)


def test_the_state_is_left_as_it_is():
    state, mask = field()
    values = torch.from_numpy(state.copy())
    continuation(scan_of(mask), VERTICES)(values)
    np.testing.assert_array_equal(values, state)
