"""The systems shd is timed against compute the same function as shd, where they should."""

import numpy as np
import pytest
import torch

from benchmarks.published.layout import from_published, to_published
from benchmarks.published.patches import deploy_patches
from benchmarks.published.ponita import PonitaConvolution
from benchmarks.published.rt_esd import RecurrentConvolution
from benchmarks.published.shd_published import PublishedConvolution, dense_polynomials
from benchmarks.published.unet import PublishedUNet, copy_weights
from shd.engines import set_engine
from shd.graphs.hemisphere import symmetry_permutations, vertex_directions
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.config import ModelConfig
from shd.models.spatio_spherical import SpatioSphericalConvolution
from shd.models.unet import UNet
from tests.models.networks import default_dtype

CONVOLUTIONS = {True: PublishedConvolution, False: RecurrentConvolution}


def field(vertices, channels, *grid, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(vertices, batch, *grid, channels, generator=generator)


def relative(found, expected):
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


def networks(grid=(4, 2, 6), **shape):
    """Return our network and the published one with its weights and statistics, with input and mask."""
    torch.manual_seed(0)
    config = ModelConfig(3, **{"nside": 2, "levels": 2, "width": 4, **shape})
    ours, theirs = UNet(config), PublishedUNet(config)
    set_engine(ours, "reference")
    vertices, mask = len(vertex_directions(config.nside, config.hemisphere)), torch.ones(2, *grid, 1)
    ours(field(vertices, 3, *grid, seed=3), mask)  # running statistics are no longer those of the start
    copy_weights(ours, theirs)
    return ours, theirs, field(vertices, 3, *grid), mask


def test_layouts_are_each_others_inverses():
    x = field(6, 4, 2, 3, 5)
    assert to_published(x).shape == (2, 6, 4, 2, 3, 5)
    assert torch.equal(from_published(to_published(x)), x)


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("hemisphere", [True, False])
def test_a_published_layer_equals_ours(hemisphere, order):
    level = sphere_hierarchy(2, 1, hemisphere).levels[0]
    with default_dtype(torch.float64):
        ours = SpatioSphericalConvolution(level, 3, 5, order)
        set_engine(ours, "reference")
        theirs = CONVOLUTIONS[hemisphere](level, 3, 5, order)
        theirs.load_state_dict(ours.state_dict())
        x = field(level.vertices, 3, 3, 4, 2)
    assert relative(from_published(theirs(to_published(x))), ours(x)) < 1e-12


@pytest.mark.parametrize("hemisphere", [True, False])
def test_a_published_layer_gives_the_gradients_of_ours(hemisphere):
    level = sphere_hierarchy(2, 1, hemisphere).levels[0]
    with default_dtype(torch.float64):
        ours = SpatioSphericalConvolution(level, 3, 2)
        set_engine(ours, "reference")
        theirs = CONVOLUTIONS[hemisphere](level, 3, 2)
        theirs.load_state_dict(ours.state_dict())
        x, weights = field(level.vertices, 3, 3, 2, 2).requires_grad_(), field(level.vertices, 2, 3, 2, 2, seed=1)
    expected = torch.autograd.grad((ours(x) * weights).sum(), [x, ours.weight])
    found = torch.autograd.grad((from_published(theirs(to_published(x))) * weights).sum(), [x, theirs.weight])
    for ours_gradient, theirs_gradient in zip(expected, found, strict=True):
        assert relative(theirs_gradient, ours_gradient) < 1e-12


def test_dense_polynomials_are_those_of_the_eigenvalues():
    level = sphere_hierarchy(2, 1).levels[0]
    values, vectors = np.linalg.eigh(level.laplacian.toarray())
    third = (vectors * np.polynomial.chebyshev.chebval(values, [0, 0, 0, 1])) @ vectors.T
    np.testing.assert_allclose(dense_polynomials(level, 4)[3::4], third, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("hemisphere", [True, False])
def test_the_published_network_equals_ours_in_single_precision(hemisphere, training):
    ours, theirs, x, mask = networks(hemisphere=hemisphere)
    ours.train(training), theirs.train(training)
    assert relative(from_published(theirs(to_published(x))), ours(x, mask)) < 1e-5


OTHERS = {
    "three levels, no spatial pooling": {"nside": 4, "levels": 3, "spatial_poolings": 0, "grid": (3, 1, 2)},
    "one convolution": {"convolutions": 1, "order": 3},
}


@pytest.mark.parametrize("shape", OTHERS.values(), ids=OTHERS)
def test_the_published_network_equals_ours_for_other_shapes(shape):
    ours, theirs, x, mask = networks(**shape)
    ours.eval(), theirs.eval()
    assert relative(from_published(theirs(to_published(x))), ours(x, mask)) < 1e-5


def test_weights_of_another_network_are_refused():
    shape = {"input_channels": 3, "nside": 2, "width": 4, "levels": 2}
    without_statistics = UNet(ModelConfig(**shape, normalisation="none"))
    with pytest.raises(ValueError, match="differ"):
        copy_weights(without_statistics, PublishedUNet(ModelConfig(**shape)))


def test_ponita_turns_with_voxels_and_orientations_together():
    """Under all symmetries of the grid about its pole: quarter turns and reflections."""
    torch.manual_seed(0)
    layer = PonitaConvolution(vertex_directions(2), 3, 4).double()
    x = torch.randn(1, 3, 24, 4, 4, 3, dtype=torch.float64)
    expected = layer(x)
    for matrix, permutation in symmetry_permutations(2):
        assert relative(layer(turned(x, matrix, permutation)), turned(expected, matrix, permutation)) < 1e-6
        if not np.array_equal(matrix, np.eye(3)):
            assert relative(layer(turned(x, matrix, permutation)), expected) > 1e-2


def turned(x, matrix, permutation):
    """Return the field moved by a symmetry about z: voxels as well as orientations."""
    source = np.round(matrix[:2, :2]).astype(int)  # columns: where the axes x and y go
    axes = [0, 1] if source[0, 0] else [1, 0]
    signs = [source[row, axis] for row, axis in enumerate(axes)]
    moved = x[:, :, torch.from_numpy(np.array(permutation))].permute(0, 1, 2, 3 + axes[0], 3 + axes[1], 5)
    return moved.flip([3 + row for row, sign in enumerate(signs) if sign < 0])


def test_ponita_mixes_every_voxel_near_every_orientation_and_every_channel():
    torch.manual_seed(0)
    layer = PonitaConvolution(vertex_directions(2), 2, 2).double()
    x = torch.zeros(1, 2, 24, 5, 5, 5, dtype=torch.float64)
    x[0, 0, 3, 2, 2, 2] = 1
    response = (layer(x) - layer(0 * x)).abs()[0].amax(dim=(0, 1))
    assert (response[1:4, 1:4, 1:4] > 0).all()
    response[1:4, 1:4, 1:4] = 0
    assert (response == 0).all()


def test_a_patch_answers_as_the_whole_volume_where_the_network_sees_no_further():
    volume, voxels = torch.randn(6, 2, 4, 3, 5), torch.tensor([[0, 0, 0], [1, 2, 4], [3, 1, 2]])
    kernel = torch.randn(3, 2, 3, 3, 3)

    def network(patches):
        return torch.nn.functional.conv3d(patches.flatten(0, 1), kernel, padding=1).unflatten(0, patches.shape[:2])

    whole = network(volume[None])[0]
    for factor in (1, 2):
        found = deploy_patches(network, volume, voxels, batch=2, factor=factor)
        expected = torch.stack([whole[:, :, x, y, z] for x, y, z in voxels.tolist()])
        torch.testing.assert_close(found, expected)
