import healpy
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.engines.eigenbasis import chebyshev_polynomials
from shd.engines.reference import (
    chebyshev_recurrence,
    pool_vertices,
    spatio_spherical_recurrence,
    unpool_vertices,
)
from shd.graphs.hemisphere import fold, symmetry_permutations
from shd.graphs.hierarchy import sphere_hierarchy
from shd.graphs.spatial import distance_classes
from shd.models.functional import chebyshev_convolution, spatio_spherical_convolution
from tests.models.dense_convolution import dense_spatio_spherical, spectral_operator
from tests.support.engines import engines, engines_and_sizes, require
from tests.support.equivariance import DTYPES, assert_equivariant
from tests.support.symmetries import permuting_vertices

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def random(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def level(nside, hemisphere=True):
    return sphere_hierarchy(nside, 1, hemisphere).levels[0]


def dense(nside, hemisphere=True):
    """The rescaled Laplacian as an array."""
    return level(nside, hemisphere).laplacian.toarray()


def assert_close(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    error = float((found - expected).abs().max() / expected.abs().max())
    assert error < TOLERANCE[found.dtype], error


@given(order=st.integers(1, 12))
def test_polynomials_are_chebyshevs(order):
    x = np.linspace(-1, 1, 7)
    expected = np.polynomial.chebyshev.chebvander(x, order - 1)
    np.testing.assert_allclose(chebyshev_polynomials(torch.tensor(x), order).numpy(), expected, atol=1e-12)


@dtypes
@engines
@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("hemisphere", [True, False])
def test_chebyshev_filter_equals_the_exact_spectral_filter(dtype, engine, order, hemisphere):
    require(engine)
    laplacian = dense(4, hemisphere)
    x = random(len(laplacian), 2, 3, 3, dtype=dtype)
    weight = random(order, 3, 4, dtype=dtype, seed=1)
    exact = torch.zeros(*x.shape[:-1], 4, dtype=torch.float64)
    for k in range(order):
        operator = torch.tensor(spectral_operator(laplacian, k))
        exact += torch.einsum("vw,wxyi,io->vxyo", operator, x.double(), weight[k].double())
    assert_close(chebyshev_convolution(x, level(4, hemisphere), weight, engine), exact.to(dtype))


@dtypes
@engines_and_sizes
@pytest.mark.parametrize(("channels_in", "channels_out"), [(2, 4), (4, 2)])
def test_convolution_equals_conv3d(dtype, engine, size, channels_in, channels_out):
    """With more channels in and with more out, which some engines treat apart, against the dense kernel."""
    require(engine)
    x = random(24, 2, 5, 4, 6, channels_in, dtype=dtype)
    weight = random(5, len(distance_classes(size)), channels_in, channels_out, dtype=dtype, seed=1)
    expected = dense_spatio_spherical(x, dense(2), weight, size)
    assert_close(spatio_spherical_convolution(x, level(2), weight, engine), expected)


def test_the_recurrence_takes_a_sparse_laplacian():
    laplacian = torch.tensor(dense(4))
    x, weight = random(96, 1, 2, 3, 1, 2), random(3, 4, 2, 2, seed=1)
    expected = spatio_spherical_recurrence(x, laplacian, weight, 3)
    assert_close(spatio_spherical_recurrence(x, laplacian.to_sparse(), weight, 3), expected)
    voxelwise = weight[:, 0]
    found = chebyshev_recurrence(x, laplacian.to_sparse(), voxelwise)
    assert_close(found, chebyshev_recurrence(x, laplacian, voxelwise))


@engines_and_sizes
@pytest.mark.parametrize("grid", [(1, 1, 1), (1, 2, 4), (2, 2, 2)])
def test_grids_smaller_than_the_kernel(engine, size, grid):
    require(engine)
    x = random(6, 1, *grid, 2)
    weight = random(5, len(distance_classes(size)), 2, 3, seed=1)
    found = spatio_spherical_convolution(x, level(1), weight, engine)
    assert_close(found, dense_spatio_spherical(x, dense(1), weight, size))


@engines
def test_one_voxel_is_convolved_on_the_sphere_alone(engine):
    require(engine)
    x, weight = random(24, 1, 1, 1, 1, 2), random(5, 4, 2, 3, seed=1)
    expected = chebyshev_convolution(x, level(2), weight[:, 0], "reference")
    assert_close(spatio_spherical_convolution(x, level(2), weight, engine), expected)


@engines
def test_order_one_leaves_every_vertex_to_itself(engine):
    require(engine)
    x, weight = random(24, 1, 3, 3, 3, 2), random(1, 1, 2, 3, seed=1)
    assert_close(spatio_spherical_convolution(x, level(2), weight, engine), x @ weight[0, 0])


@engines_and_sizes
@pytest.mark.parametrize(("channels_in", "channels_out"), [(1, 2), (2, 1)])
def test_gradients(engine, size, channels_in, channels_out):
    require(engine)
    x = random(6, 1, 2, 2, 3, channels_in).requires_grad_()
    weight = random(3, len(distance_classes(size)), channels_in, channels_out, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, w: spatio_spherical_convolution(a, level(1), w, engine), (x, weight))
    voxelwise = weight[:, 0].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, w: chebyshev_convolution(a, level(1), w, engine), (x, voxelwise))


@dtypes
@engines
@pytest.mark.parametrize("nside", [1, 2, 8])
def test_filters_commute_with_the_spheres_own_symmetries(dtype, engine, nside):
    require(engine)
    x, weight = random(6 * nside**2, 4, 2, dtype=dtype), random(5, 2, 3, dtype=dtype, seed=1)
    for _, permutation in symmetry_permutations(nside)[1:]:
        act = permuting_vertices(permutation)
        assert_equivariant(lambda v: chebyshev_convolution(v, level(nside), weight, engine), act, act, x)


@settings(deadline=None, max_examples=20)
@given(nside=st.sampled_from([2, 4, 8]), channels=st.integers(1, 3))
def test_unpooling_is_four_times_the_adjoint_of_pooling(nside, channels):
    fine, coarse = random(6 * nside**2, 2, channels), random(6 * (nside // 2) ** 2, 2, channels, seed=1)
    pooled = torch.vdot(pool_vertices(fine).ravel(), coarse.ravel())
    lifted = torch.vdot(fine.ravel(), unpool_vertices(coarse).ravel())
    assert float(4 * pooled - lifted) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("nside", [2, 8, 32])
def test_pooling_follows_healpys_own_change_of_resolution(nside):
    """`healpy.ud_grade` on the whole sphere, whose first half is ours."""
    whole = np.random.default_rng(0).standard_normal(12 * nside**2)
    expected = healpy.ud_grade(whole, nside // 2, order_in="NEST", order_out="NEST")
    found = pool_vertices(torch.tensor(whole[: 6 * nside**2, None]))[:, 0].numpy()
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-12)
    back = healpy.ud_grade(expected, nside, order_in="NEST", order_out="NEST")
    lifted = unpool_vertices(torch.tensor(expected[: len(found), None]))[:, 0].numpy()
    np.testing.assert_allclose(lifted, back[: 6 * nside**2], atol=1e-12)


def test_pooling_undoes_unpooling():
    coarse = random(24, 3)
    assert_close(pool_vertices(unpool_vertices(coarse)), coarse)


@dtypes
@pytest.mark.parametrize("nside", [2, 8])
def test_pooling_commutes_with_the_spheres_own_symmetries(dtype, nside):
    fine, coarse = random(6 * nside**2, 3, dtype=dtype), random(6 * (nside // 2) ** 2, 3, dtype=dtype)
    pairs = zip(symmetry_permutations(nside)[1:], symmetry_permutations(nside // 2)[1:], strict=True)
    for (_, on_fine), (_, on_coarse) in pairs:
        act_fine, act_coarse = permuting_vertices(on_fine), permuting_vertices(on_coarse)
        assert_equivariant(pool_vertices, act_fine, act_coarse, fine)
        assert_equivariant(unpool_vertices, act_coarse, act_fine, coarse)


@pytest.mark.parametrize("nside", [2, 8, 32])
def test_pooling_the_half_equals_pooling_the_whole_of_an_even_signal(nside):
    """The half-sphere loses nothing: children of antipodal parents are antipodal."""
    half = random(6 * nside**2, 2)
    whole = half[torch.tensor(fold(nside))]
    assert_close(pool_vertices(whole), pool_vertices(half)[torch.tensor(fold(nside // 2))])
