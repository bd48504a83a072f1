"""The two convolutions as modules: same values as their functions, sound start, weights alone in the checkpoint."""

import pytest
import torch

from shd.engines.choice import set_engine
from shd.engines.reference import chebyshev_recurrence, spatio_spherical_recurrence
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.chebyshev import ChebyshevConvolution
from shd.models.spatio_spherical import SpatioSphericalConvolution
from tests.models.networks import default_dtype

LEVEL = sphere_hierarchy(4, 1).levels[0]
LAPLACIAN = torch.tensor(LEVEL.laplacian.toarray())


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_double(build):
    with default_dtype(torch.float64):
        return build()


@pytest.mark.parametrize("order", [1, 2, 5])
def test_chebyshev_module_is_the_recurrence_with_its_weights(order):
    module = in_double(lambda: ChebyshevConvolution(LEVEL, 2, 3, order))
    x = noise(96, 2, 4, 2)
    torch.testing.assert_close(module(x), chebyshev_recurrence(x, LAPLACIAN, module.weight), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_spatio_spherical_module_is_the_recurrence_with_its_weights(size):
    module = in_double(lambda: SpatioSphericalConvolution(LEVEL, 2, 3, 4, size))
    x = noise(96, 1, 3, 4, 2, 2)
    expected = spatio_spherical_recurrence(x, LAPLACIAN, module.weight, size)
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [1, 3])
def test_white_noise_keeps_its_size(size):
    """Drawn for variance 2 before the ReLU; the polynomials, below one in size, shrink it a little."""
    torch.manual_seed(0)
    module = SpatioSphericalConvolution(LEVEL, 16, 64, 5, size)
    x = noise(96, 1, 8, 8, 8, 16).float()
    variance = float(module(x)[:, :, 2:-2, 2:-2, 2:-2].detach().var())
    assert 0.8 < variance < 2.2


@pytest.mark.parametrize("build", [ChebyshevConvolution, SpatioSphericalConvolution])
def test_checkpoints_hold_weights_alone(build):
    assert list(build(LEVEL, 2, 3).state_dict()) == ["weight"]


@pytest.mark.parametrize("build", [ChebyshevConvolution, SpatioSphericalConvolution])
def test_moving_a_module_to_another_precision_moves_its_graph_along(build):
    """What engines hold of the graph belongs to no module and follows the input."""
    module = build(LEVEL, 2, 3)
    x = noise(96, 1, 2, 2, 2, 2)
    single = module(x.float())
    assert single.dtype == torch.float32
    double = module.double()(x)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.float()(x.float()), single, rtol=0, atol=0)


@pytest.mark.parametrize("build", [ChebyshevConvolution, SpatioSphericalConvolution])
def test_a_module_uses_the_engine_that_it_is_given(build):
    module, x = build(LEVEL, 2, 3), noise(96, 1, 2, 2, 2, 2).float()
    set_engine(module, "reference")
    assert module.engine == "reference"
    with_reference = module(x)
    set_engine(module, "torch")
    torch.testing.assert_close(module(x), with_reference, rtol=1e-4, atol=1e-5)
