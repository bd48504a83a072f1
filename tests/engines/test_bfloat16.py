"""The compiled engine under autocast: representations stored and multiplied as bfloat16."""

import pytest
import torch

from shd.engines.choice import choose_engine, compiled_engine, set_engine
from shd.engines.compiled.library import Kernels, kernels
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.config import ModelConfig
from shd.models.unet import UNet
from tests.engines.cases import CUTS, Case, noise, run
from tests.models.networks import default_dtype

ROUNDING = 2.0**-9  # of bfloat16: 8 bits, rounded to the nearest


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def relative_error(found, expected):
    """Return the error's root mean square over the expected one's."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-6))


@pytest.fixture(autouse=True)
def engine():
    found = compiled_engine()
    if isinstance(found, str):
        pytest.skip(f"the compiled engine does not run here: {found}")
    return found


@pytest.fixture
def multiplied():
    if not kernels().bfloat16:
        pytest.skip("this processor does not multiply bfloat16")


# Around whole words, vectors and tiles of rows; sources of either kind.
CASES = {
    **CUTS,
    "odd channels": Case(2, channels=(7, 5), outputs=9, halved=(False, False)),
    "one channel": Case(2, channels=(1,), outputs=1),
    "whole words": Case(4, channels=(8,), outputs=16, grid=(4, 4, 4)),
    "a halved source": Case(4, channels=(32, 16), outputs=33, grid=(4, 4, 4), halved=(True, False), lifted=True),
    "odd channels of a halved source": Case(2, channels=(5,), outputs=40, grid=(2, 4, 2), halved=(True,)),
    "the whole sphere, voxel by voxel": Case(2, False, 2, (2, 1, 3), channels=(17,), outputs=8, size=1),
}


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("name", CASES)
def test_layer_is_within_rounding_of_double_precision(name):
    with autocast():
        found = run("compiled", CASES[name], torch.float32)
    expected = run("reference", CASES[name], torch.float64)
    for key, value in expected.items():
        assert found[key].dtype == torch.float32, key
        if not key.startswith("gradient") and key != "channel total":
            assert relative_error(found[key], value) < 5 * ROUNDING, key


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_single_precision(engine, name):
    """Without an activation, whose gradient jumps where rounding changes a sign."""
    case = CASES[name]

    def gradients():
        sources, weight, _, _, mask = case.tensors(torch.float32)
        levels = case.levels
        entered = [engine.enter(s, levels[int(case.lifted and not i)]) for i, s in enumerate(sources)]
        if case.lifted:
            entered[0] = engine.lift(entered[0], levels[1], levels[0])
        z, statistics = engine.mix(entered, levels[0], weight, mask, "channel")
        field = engine.leave(z, levels[0])
        total = (field * noise(*field.shape, seed=1).float()).sum() + statistics.voxel_power.sum()
        total = total + (statistics.channel_power * noise(case.outputs, seed=2).float()).sum()
        return torch.autograd.grad(total, [*sources, weight])

    expected = gradients()
    with autocast():
        found = gradients()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert relative_error(one, other) < 2e-2


@pytest.mark.usefixtures("multiplied")
def test_gradients_of_activations_are_those_of_single_precision(engine):
    """Rounding cuts off or lets pass a few activations in a thousand, and the gradient's error is the root of that."""
    level = sphere_hierarchy(4, 1).levels[0]
    x, columns = noise(level.vertices, 1, 3, 3, 3, 8).float(), (1, 3, 3, 3, 8)
    scale, shift = noise(*columns, seed=1).float().requires_grad_(), noise(*columns, seed=2).float().requires_grad_()

    def gradients():
        z = engine.enter(x, level).detach().requires_grad_()
        y = engine.leave(engine.turn(z, level, scale, shift), level)
        return torch.autograd.grad((y * noise(*y.shape, seed=3).float()).sum(), [z, scale, shift])

    expected = gradients()
    with autocast():
        found = gradients()
    assert [gradient.dtype for gradient in found] == [torch.bfloat16, torch.float32, torch.float32]
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) < 6e-2


@pytest.mark.usefixtures("multiplied")
def test_representations_are_bfloat16_and_all_else_single(engine):
    fine, coarse = sphere_hierarchy(4, 2).levels
    mask = torch.ones(1, 2, 2, 2, 1)
    with autocast():
        z = engine.enter(noise(fine.vertices, 1, 2, 2, 2, 3).float(), fine)
        small = engine.pool(z, torch.ones(1, 1, 1, 1), fine, coarse)
        lifted = engine.lift(small, coarse, fine)
        mixed, statistics = engine.mix([lifted, z], fine, noise(5, 4, 6, 4).float(), mask, "channel")
        turned = engine.turn(mixed, fine, torch.ones(1, 2, 2, 2, 4), torch.zeros(1, 2, 2, 2, 4))
        field = engine.leave(turned, fine)
    assert {part.dtype for part in (z, small, lifted, mixed, turned)} == {torch.bfloat16}
    sums = statistics.voxel_power, statistics.channel_power, statistics.channel_total
    assert {part.dtype for part in (field, *sums)} == {torch.float32}


@pytest.mark.usefixtures("multiplied")
def test_a_representation_keeps_its_precision_after_autocast(engine):
    level = sphere_hierarchy(2, 1).levels[0]
    with autocast():
        z = engine.enter(noise(24, 1, 2, 2, 2, 3).float(), level)
    mixed, _ = engine.mix([z], level, noise(5, 4, 3, 4).float(), torch.ones(1, 2, 2, 2, 1), None)
    assert mixed.dtype == torch.bfloat16 and engine.leave(mixed, level).dtype == torch.float32


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("channels", [3, 4])
def test_a_voxel_that_is_not_a_number_reaches_its_neighbours_alone(engine, channels):
    """Odd channels are multiplied in pairs, and the next voxel must not be the other half."""
    level, mask = sphere_hierarchy(1, 1).levels[0], torch.ones(1, 1, 1, 5, 1)
    x = noise(level.vertices, 1, 1, 1, 5, channels).float()
    x[:, :, :, :, 4] = torch.nan
    with autocast():
        z, _ = engine.mix([engine.enter(x, level)], level, noise(3, 4, channels, 2).float(), mask, None)
    hit = engine.leave(z, level).isnan().flatten(0, 3).any(0).any(-1)
    assert hit.tolist() == [False, False, False, True, True]


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("hemisphere", [True, False])
def test_a_large_constant_leaves_what_is_small_beside_it(engine, hemisphere):
    """Activations are mostly their mean; its rounding must not fall on all that differs between directions."""
    level = sphere_hierarchy(8, 1, hemisphere).levels[0]
    x = noise(level.vertices, 1, 2, 2, 2, 4).float()
    small = x - x.mean(0)
    columns = torch.ones(1, 2, 2, 2, 4), torch.zeros(1, 2, 2, 2, 4)
    with autocast():
        found = engine.leave(engine.turn(engine.enter(100 + small, level), level, *columns), level)
    assert relative_error(found - found.mean(0), small) < 5 * ROUNDING


def _network(normalisation):
    torch.manual_seed(0)
    config = ModelConfig(6, nside=4, width=8, levels=3, normalisation=normalisation)
    network = UNet(config)
    x, mask = noise(96, 1, 4, 4, 4, 6), (noise(1, 4, 4, 4, 1, seed=1) > -1).double()
    return network, x, mask


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("normalisation", ["voxel", "batch", "none"])
def test_network_is_within_a_few_roundings_of_double_precision(normalisation):
    network, x, mask = _network(normalisation)
    network.eval()
    set_engine(network, "compiled")
    with torch.no_grad(), autocast():
        found = network(x.float(), mask.float())
    with torch.no_grad(), default_dtype(torch.float64):
        set_engine(network, "reference")
        expected = network.double()(x, mask)
    assert found.dtype == torch.float32
    assert relative_error(found, expected) < 2e-2


@pytest.mark.usefixtures("multiplied")
def test_training_step_of_a_network_in_bfloat16():
    network, x, mask = _network("voxel")
    set_engine(network, "compiled")
    x, mask = x.float(), mask.float()

    def gradients():
        return torch.autograd.grad(network(x, mask).square().mean(), list(network.parameters()))

    expected = gradients()
    with autocast():
        found = gradients()
    assert {gradient.dtype for gradient in found} == {torch.float32}
    whole = [torch.cat([gradient.flatten() for gradient in part]) for part in (found, expected)]
    assert relative_error(*whole) < 5e-2


def test_processors_without_the_product_stay_in_single_precision(monkeypatch):
    case = Case(2, channels=(5,), outputs=3)
    expected = run("compiled", case, torch.float32)
    monkeypatch.setattr(Kernels, "bfloat16", False)
    with autocast():
        found = run("compiled", case, torch.float32)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_half_precision_is_not_the_compiled_engines(engine, dtype):
    """A field that is in half precision already goes to torch; autocast to float16 leaves the compiled engine alone."""
    level = sphere_hierarchy(1, 1).levels[0]
    x = noise(6, 1, 1, 1, 2, 3)
    assert choose_engine("auto", x.to(dtype), 4).name == "torch"
    with torch.autocast("cpu", torch.float16):
        assert engine.enter(x.float(), level).dtype == torch.float32
