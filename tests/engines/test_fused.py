"""The fused kernels equal what torch computes without them: interpreted on the CPU, and on a GPU where there is one."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shd.engines import fused
from shd.engines.choice import choose_engine, describe_engine
from shd.engines.neighbourhood import neighbour_spread
from shd.engines.statistics import measured
from tests.engines.cases import CUTS, TOLERANCE, Case, assert_equals_reference, cases, enter, noise
from tests.models.dense_convolution import looped_neighbour_sums

CPU = torch.device("cpu")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
few = settings(deadline=None, max_examples=6, derandomize=True, suppress_health_check=list(HealthCheck))
shapes = st.tuples(*[st.integers(1, 2)] * 2, *[st.integers(1, 5)] * 3, st.sampled_from([1, 3, 16]))
# one number; more planes than a program walks over; planes of just a block, and of more than one
SIZES = {
    "one voxel": (1, 1, 1, 1, 1, 1),
    "many planes": (1, 2, 19, 2, 3, 2),
    "a whole block": (2, 1, 2, 8, 4, 16),
    "odd blocks": (1, 1, 3, 9, 13, 5),
    "one long line": (1, 1, 1, 1, 600, 1),
}


def without_cache(monkeypatch):
    fused._failure.cache_clear()
    monkeypatch.delenv("SHD_FUSED", raising=False)


@pytest.fixture(scope="module")
def interpreted_kernels():
    """A second copy of the kernels, for Triton's interpreter, so that those of a GPU stay what they are."""
    pytest.importorskip("triton", reason="Triton is not installed; pip install triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        spec = importlib.util.find_spec("shd.engines.fused_kernel")
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
    return copy


@pytest.fixture
def interpreted(monkeypatch, interpreted_kernels):
    """Let tensors on the CPU take the fused kernels; counts how often they are asked for."""
    asked = []

    def kernels():
        asked.append(1)
        return interpreted_kernels

    without_cache(monkeypatch)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(fused, "_kernels", kernels)
    assert fused.why_not_fused(CPU) is None
    yield asked
    fused._failure.cache_clear()


def looped(x):
    return torch.tensor(np.concatenate(looped_neighbour_sums(x.double().numpy(), 3), axis=-1))


def spread(z):
    return neighbour_spread(z.double().chunk(4, -1), 3)


def field(shape, seed=0, dtype=torch.float32):
    return noise(*shape, seed=seed).to(dtype)


def assert_close(found, expected, tolerance=2e-6):
    assert found.shape == expected.shape
    error = float((found.double() - expected).abs().max())
    assert error <= tolerance * max(1.0, float(expected.abs().max())), error


@pytest.mark.usefixtures("interpreted")
@few
@given(shape=shapes)
def test_sums_equal_loops_over_the_neighbours(shape):
    x = field(shape)
    assert_close(fused.summed_neighbours(x), looped(x))


@pytest.mark.usefixtures("interpreted")
@few
@given(shape=shapes)
def test_spread_is_the_adjoint_of_the_sums(shape):
    x, z = field(shape), field((*shape[:-1], 4 * shape[-1]), 1)
    through_sums = torch.vdot(looped(x).ravel(), z.double().ravel())
    through_spread = torch.vdot(x.double().ravel(), fused.spread_neighbours(z).double().ravel())
    assert abs(float(through_sums - through_spread)) < 1e-5 * float(x.norm() * z.norm()) + 1e-6


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("name", SIZES)
def test_sums_and_spread_where_work_is_cut(name):
    shape = SIZES[name]
    x, z = field(shape), field((*shape[:-1], 4 * shape[-1]), 1)
    assert_close(fused.summed_neighbours(x), looped(x))
    assert_close(fused.spread_neighbours(z), spread(z))


@pytest.mark.usefixtures("interpreted")
def test_gradients_of_sums_and_spread_are_each_other():
    x = field((2, 1, 3, 4, 2, 3)).requires_grad_()
    z = field((2, 1, 3, 4, 2, 12), 1).requires_grad_()
    (by_x,) = torch.autograd.grad(fused.summed_neighbours(x), x, z)
    (by_z,) = torch.autograd.grad(fused.spread_neighbours(z), z, x)
    assert_close(by_x, spread(z.detach()))
    assert_close(by_z, looped(x.detach()))


@pytest.mark.usefixtures("interpreted")
def test_tensors_in_another_memory_order_give_the_same():
    x = field((5, 3, 4, 2, 1, 4)).permute(3, 4, 2, 1, 0, 5)
    assert torch.equal(fused.summed_neighbours(x), fused.summed_neighbours(x.contiguous()))
    assert torch.equal(fused.spread_neighbours(x), fused.spread_neighbours(x.contiguous()))


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_added_up_in_single(dtype):
    """Nothing but the answer is rounded."""
    x = field((1, 1, 4, 5, 3, 8), dtype=dtype)
    z = field((1, 1, 4, 5, 3, 32), 1, dtype)
    for found, expected in ((fused.summed_neighbours(x), looped(x)), (fused.spread_neighbours(z), spread(z))):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1, 1), (6, 2, 2, 3, 1, 4), (130, 1, 1, 1, 2, 1), (3, 1, 5, 7, 10, 3)])
def test_activation_and_its_gradients(shape):
    y, scale, shift, gradient = field(shape), field(shape[1:], 1), field(shape[1:], 2), field(shape, 3)
    tensors = [tensor.requires_grad_() for tensor in (y, scale, shift)]
    doubles = [tensor.detach().double().requires_grad_() for tensor in tensors]
    found = fused.activated(*tensors)
    expected = torch.relu(doubles[0] * doubles[1] + doubles[2])
    assert_close(found.detach(), expected.detach())
    ours = torch.autograd.grad(found, tensors, gradient)
    theirs = torch.autograd.grad(expected, doubles, gradient.double())
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, 1e-5)


@pytest.mark.usefixtures("interpreted")
def test_not_a_number_stays_what_it_is():
    y = torch.zeros(2, 1, 1, 1, 1, 3)
    y[1, ..., 2] = torch.nan
    found = fused.activated(y, torch.ones(y.shape[1:]), torch.zeros(y.shape[1:]))
    assert torch.equal(found.isnan(), y.isnan())


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1, 1), (6, 2, 2, 3, 1, 4), (130, 1, 1, 1, 2, 1), (3, 1, 5, 7, 10, 3)])
def test_statistics_and_their_gradients(shape, channels):
    z, modes, mask = field(shape), noise(shape[0], seed=1), (noise(*shape[1:-1], 1, seed=2) > 0).double()
    results = []
    for dtype in (torch.float32, torch.float64):
        source = z.to(dtype).requires_grad_()
        found = measured(source, modes.to(dtype), mask.to(dtype), shape[0], channels)
        assert (found.channel_power is None) == (not channels)
        parts = [found.voxel_power, *([found.channel_power, found.channel_total] if channels else [])]
        total = sum((part * field(part.shape, 3).to(dtype)).sum() for part in parts)
        results.append([*(part.detach() for part in parts), *torch.autograd.grad(total, source)])
    for one, other in zip(*results, strict=True):
        assert one.dtype == torch.float32
        assert_close(one, other, 1e-5)


@pytest.mark.parametrize(
    "case",
    [
        Case(1),
        Case(1, channels=(5,), outputs=3, statistics="voxel"),
        Case(1, batch=2, grid=(2, 4, 2), channels=(3, 2), outputs=7, halved=(True, False)),
        Case(2, False, grid=(2, 3, 1), channels=(6,), outputs=2, lifted=True, statistics=None),
        Case(1, grid=(3, 1, 2), size=1),
    ],
    ids=["sums first", "mixing first", "two sources", "lifted", "voxel by voxel"],
)
def test_the_engine_with_fused_kernels_equals_the_reference(interpreted, case):
    before = len(interpreted)
    assert_equals_reference("torch", case, torch.float32)
    assert len(interpreted) > before + 3


def test_double_precision_is_left_to_torch(interpreted):
    assert not fused.fusible(torch.ones(1, 1, 1, 1, 1, 1, dtype=torch.float64))
    assert not fused.fusible(torch.ones(1, 0, 1, 1, 1, 1))


def test_rows_beyond_32_bits_are_left_to_torch(monkeypatch, interpreted):
    x = torch.ones(2, 1, 3, 3, 3, 2)
    assert fused.fusible(x)
    monkeypatch.setattr(fused, "_LARGEST_ROW", 4 * 54)
    assert not fused.fusible(x)


def test_switched_off_by_its_variable(monkeypatch, interpreted):
    monkeypatch.setenv("SHD_FUSED", "0")
    assert not fused.fusible(torch.ones(1, 1, 1, 1, 1, 1))
    assert "SHD_FUSED=0" in fused.why_not_fused(CPU)


def test_the_cpu_takes_no_fused_kernels(monkeypatch):
    without_cache(monkeypatch)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert fused.why_not_fused(CPU) == "fused kernels are for GPUs, not for cpu"


@pytest.fixture
def pretended_gpu(monkeypatch):
    without_cache(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield
    fused._failure.cache_clear()


@pytest.mark.usefixtures("pretended_gpu")
def test_without_triton_torch_goes_on_and_says_why(monkeypatch):
    monkeypatch.setattr(fused, "find_spec", lambda name: None)
    assert describe_engine("auto", "cuda") == (
        "torch; fused kernels need Triton, which is not installed: pip install triton"
    )


@pytest.mark.usefixtures("pretended_gpu")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(RuntimeError("Failed to find\n C compiler"), "cannot be built here: Failed to find C compiler"),
     (torch.full((1, 1, 3, 3, 3, 4), 2.0), r"wrong here: \[2.0, 2.0, 2.0, 2.0\]")],
)  # fmt: skip
def test_kernels_that_fail_are_not_used(monkeypatch, answer, reason):
    def tried(x):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(fused, "find_spec", lambda name: True)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: None)  # there is no such device here
    monkeypatch.setattr(fused, "_sums", tried)
    with pytest.raises(AssertionError, match=reason):
        assert describe_engine("auto", "cuda") == "torch"


def results(case, dtype, device, engine="torch", autocast=False):
    """Return what a layer answers on a device, and the gradients of all that went in, on the CPU."""
    sources, weight, scale, shift, mask = case.tensors(dtype)
    inputs = [tensor.detach().to(device).requires_grad_() for tensor in (*sources, weight, scale, shift)]
    *sources, weight, scale, shift = inputs
    chosen, level, mask = choose_engine(engine, sources[0], weight.shape[1]), case.levels[0], mask.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
        z, statistics = chosen.mix(enter(chosen, case, sources), level, weight, mask, case.statistics)
        found = {"field": chosen.leave(z, level), "activations": chosen.leave(z, level, scale * mask, shift * mask)}
    if statistics is not None:
        found["voxel power"] = statistics.voxel_power
    total = sum(
        (value.to(dtype) * noise(*value.shape, seed=index).to(device, dtype)).sum() / value.detach().abs().max()
        for index, value in enumerate(found.values())
    )
    gradients = torch.autograd.grad(total, inputs)
    found |= {f"gradient {place}": gradient for place, gradient in enumerate(gradients)}
    return {name: value.detach().cpu().double() for name, value in found.items()}


def error(found, expected):
    return float((found - expected).norm() / expected.norm().clamp(min=1e-6))


def assert_equals_reference_on_gpu(case):
    device = torch.device("cuda")
    assert fused.why_not_fused(device) is None
    expected, found = results(case, torch.float64, CPU, "reference"), results(case, torch.float32, device)
    if bool(((expected["activations"] > 0) != (found["activations"] > 0)).any()):
        expected = {name: value for name, value in expected.items() if not name.startswith("gradient")}
    for name, value in expected.items():
        assert error(found[name], value) < 10 * TOLERANCE[torch.float32], name


@on_gpu
@settings(deadline=None, max_examples=40, derandomize=True)
@given(case=cases())
def test_a_gpu_in_single_precision_equals_the_reference(case):
    pytest.importorskip("triton", reason="Triton is not installed; pip install triton")
    assert_equals_reference_on_gpu(case)


@on_gpu
@pytest.mark.parametrize("name", CUTS)
def test_a_gpu_in_single_precision_equals_the_reference_where_work_is_cut(name):
    pytest.importorskip("triton", reason="Triton is not installed; pip install triton")
    assert_equals_reference_on_gpu(CUTS[name])


@on_gpu
@pytest.mark.parametrize("name", CUTS)
def test_a_gpu_in_half_precision_is_as_good_fused_as_not(monkeypatch, name):
    pytest.importorskip("triton", reason="Triton is not installed; pip install triton")
    case, device = replace(CUTS[name], statistics="voxel"), torch.device("cuda")
    expected = results(case, torch.float64, CPU, "reference")
    quick = results(case, torch.float32, device, autocast=True)
    monkeypatch.setenv("SHD_FUSED", "0")
    plain = results(case, torch.float32, device, autocast=True)
    for name, value in expected.items():
        assert error(quick[name], value) < max(2 * error(plain[name], value), 2e-2), name
