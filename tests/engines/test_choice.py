"""Which engine is used, what a user is told about it, and what it may not depend on."""

import pytest
import torch
from torch import nn

from shd.engines import ENGINES, set_engine
from shd.engines.choice import choose_engine, compiled_engine, describe_engine
from shd.engines.compiled.library import DTYPES
from shd.errors import ResourceError
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.config import ModelConfig
from shd.models.spatio_spherical import SpatioSphericalConvolution
from shd.models.unet import UNet
from tests.support.engines import require

FASTEST = ("auto", "compiled")


def field(dtype=torch.float32, device="cpu"):
    return torch.zeros(6, 1, 2, 2, 2, 3, dtype=dtype, device=device)


@pytest.mark.parametrize("name", ENGINES)
def test_every_name_gives_an_engine(name):
    if name == "compiled":
        require(name)
    expected = name if name != "auto" else "torch" if isinstance(compiled_engine(), str) else "compiled"
    assert choose_engine(name, field(), 4).name == expected


def test_an_engine_is_built_once():
    assert compiled_engine() is compiled_engine()
    assert choose_engine("torch", field(), 4) is choose_engine("torch", field(), 4)


@pytest.mark.parametrize("name", ["fast", "", "Compiled"])
def test_another_name_is_refused(name):
    message = f"engine '{name}': use one of auto, reference, torch, compiled"
    with pytest.raises(ValueError, match=message):
        choose_engine(name, field(), 4)
    with pytest.raises(ValueError, match=message):
        set_engine(nn.Linear(1, 1), name)


UNSUITED = {
    "half precision": (field(torch.float16), 4),
    "another device": (field(device="meta"), 4),
    "a kernel of 5 voxels a side": (field(), 10),
}


@pytest.mark.parametrize("case", UNSUITED)
def test_what_the_compiled_engine_does_not_take_goes_to_torch(case):
    x, radii = UNSUITED[case]
    assert choose_engine("auto", x, radii).name == "torch"
    with pytest.raises(ResourceError, match="use engine auto or torch") as caught:
        choose_engine("compiled", x, radii)
    given = f"here {x.dtype} on {x.device.type} with {radii} distances"
    assert given in str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("radii", [1, 4])
def test_what_the_compiled_engine_takes_goes_to_it(dtype, radii):
    require("compiled")
    for name in FASTEST:
        assert choose_engine(name, field(dtype), radii).name == "compiled"


def test_descriptions_say_what_runs():
    require("compiled")
    assert describe_engine("auto", "cpu") == describe_engine("compiled", "cpu") == "compiled"
    assert describe_engine("auto", "cuda") == "torch"
    assert describe_engine("auto", "cpu", radii=10) == "torch"  # kernels of 5 voxels
    assert describe_engine("torch", "cpu") == "torch"
    assert describe_engine("reference", "cuda") == "reference"


@pytest.mark.parametrize("name", ENGINES)
def test_a_network_and_all_its_parts_are_told(name):
    net = UNet(ModelConfig(3, ("wm",), nside=2, width=2, levels=2))
    set_engine(net, name)
    told = [part.engine for part in net.modules() if hasattr(part, "engine")]
    convolutions = [part for part in net.modules() if isinstance(part, SpatioSphericalConvolution)]
    assert told == [name] * (len(convolutions) + 1)


def test_a_new_network_uses_the_fastest():
    assert UNet(ModelConfig(3, ("wm",), nside=2, width=2, levels=2)).engine == "auto"


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("engine", ENGINES[2:])
def test_the_number_of_threads_changes_rounding_alone(engine, threads):
    """More threads than there are eigenvectors, too; each sums up gradients and statistics of its own."""
    require(engine)
    results = []
    for nside in (1, 4):
        level = sphere_hierarchy(nside, 1).levels[0]
        for count in (1, 2, 3, 8):
            threads(count)
            generator = torch.Generator().manual_seed(0)
            x = torch.randn(level.vertices, 2, 3, 5, 4, 7, generator=generator).requires_grad_()
            weight = torch.randn(5, 4, 7, 9, generator=generator).requires_grad_()
            mask = torch.ones(2, 3, 5, 4, 1)
            chosen = choose_engine(engine, x, 4)
            z, statistics = chosen.mix([chosen.enter(x, level)], level, weight, mask, "channel")
            columns = torch.randn(2, 3, 5, 4, 9, generator=generator)
            y = chosen.leave(z, level, columns, columns)
            (y.square().mean() + statistics.channel_power.log().sum()).backward()
            found = [y, statistics.voxel_power, statistics.channel_power, x.grad, weight.grad]
            results.append([value.detach() for value in found])
        alone, *others = results[-4:]
        for run in others:
            for expected, value in zip(alone, run, strict=True):
                assert float((value - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def test_the_compiled_engine_gives_the_same_bits_every_time(threads):
    """With equal threads a fit can be repeated exactly."""
    require("compiled")
    threads(2)
    level = sphere_hierarchy(2, 1).levels[0]
    runs = []
    for _ in range(3):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(level.vertices, 1, 4, 5, 4, 7, generator=generator).requires_grad_()
        weight = torch.randn(5, 4, 7, 9, generator=generator).requires_grad_()
        chosen = choose_engine("compiled", x, 4)
        z, statistics = chosen.mix([chosen.enter(x, level)], level, weight, torch.ones(1, 4, 5, 4, 1), "channel")
        (chosen.leave(z, level).square().mean() + statistics.channel_power.log().sum()).backward()
        runs.append([z.detach(), statistics.channel_power.detach(), x.grad, weight.grad])
    for again in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], again, strict=True))
