"""The whole network: its symmetries exactly, rotations as well as the sphere's grid allows, and its borders."""

from dataclasses import replace

import pytest
import torch

from benchmarks.rotation_error import CONFIG, network_error
from shd.graphs.hemisphere import fold
from shd.models.deconvolver import Deconvolver
from tests.models.networks import (
    CONFIGS,
    answering,
    config,
    default_dtype,
    grid_for,
    packed,
    settled_deconvolver,
    some_features,
    some_mask,
    turning_white_matter,
)
from tests.support.equivariance import DTYPES, assert_equivariant, equivariance_error
from tests.support.symmetries import VoxelSymmetry, permuting_vertices, sphere_permutations, voxel_symmetries

dtypes = pytest.mark.parametrize("dtype", DTYPES)
configurations = pytest.mark.parametrize("name", CONFIGS)
# a turn of the axes, an exchange of two and a mirror: together they make all 48
GENERATORS = [VoxelSymmetry((1, 2, 0), ()), VoxelSymmetry((1, 0, 2), ()), VoxelSymmetry((0, 1, 2), (0,))]


def case(name, dtype):
    shape = CONFIGS[name]
    grid = grid_for(shape)
    x = packed(some_features(shape, grid, dtype), some_mask(grid, dtype))
    return settled_deconvolver(shape, dtype), x


def assert_symmetric_in_space(model, x, symmetries):
    for symmetry in symmetries:
        act = symmetry.acting_on(2)
        assert_equivariant(answering(model), act, act, x)


@dtypes
def test_all_rotations_and_reflections_of_the_voxel_grid(dtype):
    assert len(voxel_symmetries()) == 47
    assert_symmetric_in_space(*case("two tissues", dtype), voxel_symmetries())


@dtypes
@configurations
def test_every_configuration_is_equivariant_in_space(name, dtype):
    assert_symmetric_in_space(*case(name, dtype), GENERATORS)


@dtypes
@configurations
def test_every_configuration_is_equivariant_on_the_sphere(name, dtype):
    """The grid's own symmetries of every voxel's signal: white matter turns, isotropic tissues stay."""
    model, x = case(name, dtype)
    for permutation in sphere_permutations(model.config.nside, model.config.hemisphere):
        turn = turning_white_matter(permutation, model.config.tissues)
        assert_equivariant(answering(model), permuting_vertices(permutation), turn, x)


def test_a_network_that_is_told_the_vertex_fails():
    """The tests above can fail: a feature that differs between vertices breaks the sphere's symmetry."""
    model, x = case("ESD", torch.float64)
    ramp = torch.zeros_like(x)
    ramp[..., 0] = torch.linspace(0, 0.01, len(x))[:, None, None, None, None]
    permutation = sphere_permutations(4, hemisphere=False)[0]
    turn = turning_white_matter(permutation, model.config.tissues)
    assert equivariance_error(lambda v: answering(model)(v + ramp), permuting_vertices(permutation), turn, x) > 1e-4


@dtypes
@pytest.mark.parametrize("name", ["RT-ESD", "ESD", "three levels, two poolings"])
def test_translation_by_the_pooling_factor(name, dtype):
    model, x = case(name, dtype)
    step = model.config.spatial_factor
    wide = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, step, 0, 2 * step))
    for shift in ((step, 0), (2 * step, step)):

        def moved(v, shift=shift):
            return v.roll(shift, dims=(2, 3))

        assert_equivariant(answering(model), moved, moved, wide)


@configurations
def test_what_lies_outside_the_mask_has_no_influence(name):
    model, x = case(name, torch.float64)
    noise = 1000 * some_features(model.config, grid_for(model.config), torch.float64, seed=9)
    disturbed = packed(torch.where(x[..., -1:] > 0, x[..., :-1], noise), x[0, ..., -1:])
    assert not torch.equal(x, disturbed)
    assert torch.equal(answering(model)(x), answering(model)(disturbed))


@configurations
def test_the_answer_is_zero_outside_the_mask(name):
    model, x = case(name, torch.float64)
    outside = x[0, ..., -1] == 0
    answer = answering(model)(x)
    assert not answer[:, outside].any()
    assert float(answer[:, ~outside].min()) > 0


@configurations
def test_padding_the_grid_with_zeros_changes_nothing(name):
    """The volume's edge is a border of the mask like any other."""
    model, x = case(name, torch.float64)
    step, (nx, ny, nz) = model.config.spatial_factor, x.shape[2:5]
    padded = torch.nn.functional.pad(x, (0, 0, step, 2 * step, 0, step, step, 0))
    found = answering(model)(padded)[:, :, step : step + nx, :ny, step : step + nz]
    torch.testing.assert_close(found, answering(model)(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["ESD", "one level", "one convolution", "white matter alone"])
def test_a_window_gives_the_answer_of_its_voxels(name):
    model, grid, reach = settled_deconvolver(CONFIGS[name], torch.float64), (1, 12, 4, 4), 2
    x, mask = some_features(model.config, grid, torch.float64), some_mask(grid, torch.float64)
    with torch.no_grad():
        whole, part = model(x, mask), model(x, mask, (slice(4, 12), slice(0, 4), slice(0, 4)))
    torch.testing.assert_close(part.wm[:, :, reach:], whole.wm[:, :, 4 + reach :], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part.isotropic[:, reach:], whole.isotropic[:, 4 + reach :], rtol=1e-12, atol=1e-12)


@dtypes
@pytest.mark.parametrize("window", [None, (slice(0, 2), slice(2, 4), slice(0, 2))])
@configurations
def test_an_untrained_network_answers_with_the_coherent_estimate(name, window, dtype):
    """To the last bit in every masked voxel, and nothing holds the parts to a sum of one."""
    shape = CONFIGS[name]
    grid, tissues = (1, 4, 4, 4), len(shape.tissues)
    features, mask = some_features(shape, grid, dtype), some_mask(grid, dtype)
    features[..., 1:tissues] = features[:1, ..., 1:tissues]  # isotropic tissues are constant over vertices
    features[..., tissues + 1 : 2 * tissues] = features[:1, ..., tissues + 1 : 2 * tissues]
    features[::3, ..., tissues] = 0  # there is no fibre in these directions
    given = features.clone()
    with default_dtype(dtype), torch.no_grad():
        answer = Deconvolver(shape).eval()(features, mask, window)
    place = (slice(None), *(window or (slice(None),) * 3))
    inside, given = mask[place], given[(slice(None), *place)]
    assert torch.equal(answer.wm, given[..., tissues] * inside[..., 0])
    torch.testing.assert_close(answer.isotropic, given[0, ..., tissues + 1 : 2 * tissues] * inside)
    total = (answer.wm.mean(0) + answer.isotropic.sum(-1))[inside[..., 0] > 0]
    assert float((total - 1).abs().max()) > 0.1


def test_white_matter_alone_has_no_other_tissues():
    model, x = case("white matter alone", torch.float64)
    assert len(answering(model)(x)) == len(x)


def both_spheres(shape):
    """Return the answers of the half-sphere's network, and of the sphere's with its weights, on one even signal."""
    half = settled_deconvolver(shape, torch.float64)
    with default_dtype(torch.float64):
        whole = Deconvolver(replace(shape, hemisphere=False)).eval()
    whole.load_state_dict(half.state_dict())
    grid = grid_for(shape)
    features, mask = some_features(shape, grid, torch.float64), some_mask(grid, torch.float64)
    with torch.no_grad():
        return half(features, mask), whole(features[torch.tensor(fold(shape.nside))], mask)


@pytest.mark.parametrize(("nside", "levels", "tolerance"), [(4, 2, 1e-12), (8, 3, 1e-7)])
def test_half_sphere_and_sphere_are_the_same_network_on_even_signals(nside, levels, tolerance):
    """SHD's point: with equal weights RT-ESD gives the same answer for twice the work.

    At nside 8 the largest eigenvalues of L and L⁺ differ by 3e-10, see docs/equivariance.md.
    """
    half, whole = both_spheres(config(nside=nside, levels=levels))
    torch.testing.assert_close(whole.wm, half.wm[torch.tensor(fold(nside))], rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(whole.isotropic, half.isotropic, rtol=tolerance, atol=tolerance)


def test_half_sphere_and_sphere_differ_where_their_coarsest_grid_is_nside_1():
    """There the largest eigenvalue belongs to an odd function, so the rescaling of L and L⁺ differs (1.43, 1.32)."""
    half, whole = both_spheres(config(nside=4, levels=3))
    assert float((whole.wm[:96] - half.wm).abs().max()) > 1e-4


def test_random_rotations_commute_better_the_finer_the_grid():
    """Voxel-wise rotations that no grid shares; docs/equivariance.md has the table."""
    errors = [network_error(replace(CONFIG, nside=n, levels=2), degree=4, networks=2, turns=2) for n in (4, 8, 16)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.15


def test_grids_that_cannot_be_pooled_are_refused():
    model = settled_deconvolver(CONFIGS["SHD"], torch.float32)
    features = some_features(model.config, (1, 4, 5, 4), torch.float32)
    with pytest.raises(ValueError, match="4×5×4 voxels, but pooling needs multiples of 2"):
        model(features, some_mask((1, 4, 5, 4), torch.float32))


@configurations
def test_every_parameter_learns(name):
    model, x = case(name, torch.float64)
    answer = model.train()(x[..., :-1], x[0, ..., -1:])
    (answer.wm.square().sum() + answer.isotropic.square().sum()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
