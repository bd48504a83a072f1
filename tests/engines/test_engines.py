"""Every engine computes what the reference computes: values, statistics and gradients, whatever the sizes."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.engines import ENGINES
from shd.engines.choice import choose_engine
from shd.engines.compiled.engine import _lifting, _plan, _tables
from shd.engines.compiled.operations import Activate, Analyse, Mix, Pool, Synthesise, Turn
from shd.graphs.hierarchy import sphere_hierarchy
from tests.engines.cases import CUTS, TOLERANCE, Case, assert_equals_reference, cases, enter, noise, run
from tests.support.engines import require

dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
quick = pytest.mark.parametrize("engine", ["torch", "compiled"])


@dtypes
@quick
@settings(deadline=None, max_examples=60, derandomize=True)
@given(case=cases())
def test_every_engine_equals_the_reference(engine, dtype, case):
    require(engine)
    assert_equals_reference(engine, case, dtype)


@dtypes
@quick
@pytest.mark.parametrize("name", CUTS)
def test_every_engine_equals_the_reference_where_work_is_cut(name, engine, dtype):
    require(engine)
    assert_equals_reference(engine, CUTS[name], dtype)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_statistics_are_the_sums_over_the_vertices(engine):
    require(engine)
    case = Case(batch=2, channels=(2, 3), halved=(False, False))
    sources, weight, *_, mask = case.tensors(torch.float64)
    chosen, level = choose_engine(engine, sources[0], 4), case.levels[0]
    z, found = chosen.mix(enter(chosen, case, sources), level, weight, mask, "channel")
    y = chosen.leave(z, level)
    inside = y[:, mask[..., 0] > 0]
    torch.testing.assert_close(found.voxel_power, y.square().sum((0, -1)), rtol=1e-10, atol=0)
    torch.testing.assert_close(found.channel_power, inside.square().sum((0, 1)), rtol=1e-10, atol=0)
    torch.testing.assert_close(found.channel_total, inside.sum((0, 1)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_tensors_in_another_memory_order_give_the_same(engine):
    require(engine)
    case = Case()
    (source,), weight, scale, shift, mask = case.tensors(torch.float64)
    chosen, level = choose_engine(engine, source, 4), case.levels[0]

    def strided(x):
        return x.detach().movedim(0, -1).contiguous().movedim(-1, 0)

    results = []
    for change in (torch.Tensor.detach, strided):
        z, _ = chosen.mix([change(chosen.enter(change(source), level))], level, change(weight), change(mask), "voxel")
        results.append(chosen.leave(change(z), level, change(scale), change(shift)))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("wanted", ["weight", "source 0", "source 1"])
def test_a_gradient_does_not_depend_on_which_others_are_wanted(engine, wanted):
    require(engine)
    case = Case(channels=(3, 5), halved=(True, False), grid=(2, 4, 2))
    sources, weight, *_, mask = case.tensors(torch.float64)
    chosen, level = choose_engine(engine, weight, 4), case.levels[0]
    inputs = {"source 0": sources[0], "source 1": sources[1], "weight": weight}

    def total():
        z, statistics = chosen.mix(enter(chosen, case, sources), level, weight, mask, "channel")
        return chosen.leave(z, level).sin().sum() + statistics.channel_power.sqrt().sum()

    every = dict(zip(inputs, torch.autograd.grad(total(), list(inputs.values())), strict=True))
    for name, tensor in inputs.items():
        tensor.requires_grad_(name == wanted)
    (alone,) = torch.autograd.grad(total(), [inputs[wanted]])
    torch.testing.assert_close(alone, every[wanted], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("part", ["voxel_power", "channel_power", "channel_total"])
def test_statistics_alone_have_gradients(engine, part):
    """A loss may look at a statistic and at nothing else."""
    require(engine)
    case = Case()
    gradients = []
    for name in ("reference", engine):
        sources, weight, *_, mask = case.tensors(torch.float64)
        chosen, level = choose_engine(name, weight, 4), case.levels[0]
        _, statistics = chosen.mix(enter(chosen, case, sources), level, weight, mask, "channel")
        value = getattr(statistics, part)
        total = (value / value.detach().abs().max()).sin().sum()
        gradients.append(torch.autograd.grad(total, [weight, *sources]))
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_not_a_number_stays_what_it_is_and_where_it_is(engine):
    """Cut off at zero it would pass for an answer."""
    require(engine)
    case = Case(grid=(3, 3, 3))
    (source,), _, scale, shift, _ = case.tensors(torch.float32)
    chosen, level = choose_engine(engine, source, 4), case.levels[0]
    z = torch.zeros(level.vertices, 1, 3, 3, 3, 4)
    z[2, 0, 1, 1, 1, 3] = torch.nan
    y = chosen.leave(z, level, scale, shift)
    expected = torch.zeros(1, 3, 3, 3, 4, dtype=torch.bool)
    expected[0, 1, 1, 1, 3] = True
    assert torch.equal(y.isnan().any(0), expected)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_activations_outside_the_mask_are_exactly_zero(engine):
    require(engine)
    case = Case()
    (source,), _, scale, shift, mask = case.tensors(torch.float32)
    chosen, level = choose_engine(engine, source, 4), case.levels[0]
    z = chosen.enter(source.detach()[..., :1].expand(-1, -1, -1, -1, -1, 4), level)
    y = chosen.leave(z, level, scale * mask, shift * mask).detach()
    assert not y[:, mask[..., 0] == 0].any() and y[:, mask[..., 0] > 0].any()
    assert float(y.min()) == 0


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_whole_regions_outside_the_mask_are_zero_and_have_no_gradient(engine):
    """More columns than a slab has: the compiled kernels leave such slabs out. The rest is by the definition."""
    require(engine)
    level = sphere_hierarchy(2, 1).levels[0]
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(level.vertices, 1, 4, 6, 6, 5, generator=generator, dtype=torch.float64)
    scale, shift = (torch.randn(1, 4, 6, 6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    for part in (scale, shift):
        part[:, 1:3] = 0
    chosen = choose_engine(engine, z, 4)
    leaves = [part.requires_grad_() for part in (chosen.enter(z, level), scale, shift)]
    expected = torch.relu(leaves[1] * chosen.leave(leaves[0], level) + leaves[2])
    turned = chosen.turn(leaves[0], level, *leaves[1:])
    for found in (chosen.leave(leaves[0], level, *leaves[1:]), chosen.leave(turned, level)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
        assert not found[:, :, 1:3].any()
        weight = torch.randn(found.shape, generator=generator, dtype=torch.float64)
        ours, theirs = (torch.autograd.grad(y, leaves, weight, retain_graph=True) for y in (found, expected))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


class TestGradcheck:
    """The compiled operations' gradients against differences of their values, in double precision."""

    @pytest.fixture(autouse=True)
    def _needs_the_compiled_engine(self):
        require("compiled")

    @pytest.mark.parametrize("halved", [(False,), (True,), (True, False)])
    @pytest.mark.parametrize("size", [1, 3])
    def test_mix_with_statistics(self, halved, size):
        case = Case(1, grid=(2, 2, 2), channels=(2, 1)[: len(halved)], outputs=2, order=3, size=size, halved=halved)
        sources, weight, *_, mask = case.tensors(torch.float64)
        polynomials, modes = _tables(case.levels[0], 3, torch.float64)
        grid = tuple(mask.shape[:4])

        def mix(weight, *sources):
            return Mix.apply(grid, polynomials, modes, mask.reshape(-1), weight, *sources)

        assert torch.autograd.gradcheck(mix, (weight, *sources))
        assert torch.autograd.gradcheck(lambda *x: Mix.apply(grid, polynomials, modes, None, *x), (weight, *sources))

    @pytest.mark.parametrize("side", [1, 2])
    def test_pooling_of_voxels(self, side):
        x, weight = noise(2, 1, 2 * side, side, side, 3).requires_grad_(), noise(1, 2, 1, 1, seed=1)
        assert torch.autograd.gradcheck(lambda v: Pool.apply(v, weight), x)

    @pytest.mark.parametrize("hemisphere", [True, False])
    def test_transform_there_and_back(self, hemisphere):
        plan = _plan(Case(1, hemisphere).levels[0], torch.float64)
        x = noise(plan.vertices, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda v: Analyse.apply(plan, v), x)
        assert torch.autograd.gradcheck(lambda v: Synthesise.apply(plan, v), x)

    def test_transform_with_lift(self):
        plan = _lifting(*reversed(sphere_hierarchy(2, 2).levels), torch.float64)
        assert (plan.vertices, plan.eigenvectors) == (6, 24)
        assert torch.autograd.gradcheck(lambda v: Analyse.apply(plan, v), noise(6, 3).requires_grad_())
        assert torch.autograd.gradcheck(lambda v: Synthesise.apply(plan, v), noise(24, 3).requires_grad_())

    def test_activations(self):
        plan = _plan(Case(1).levels[0], torch.float64)
        inputs = [noise(*shape, seed=i).requires_grad_() for i, shape in enumerate([(6, 3), (3,), (3,)])]
        y = Activate.apply(plan, *inputs)
        assert (y > 0).any() and (y == 0).any()
        for operation in (Activate, Turn):
            assert torch.autograd.gradcheck(lambda *x, apply=operation.apply: apply(plan, *x), inputs)

    def test_a_second_derivative_is_refused(self):
        """Better an error than a wrong number."""
        plan = _plan(Case(1).levels[0], torch.float64)
        x = noise(6, 3).requires_grad_()
        (first,) = torch.autograd.grad(Analyse.apply(plan, x).square().sum(), [x], create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            first.sum().backward()


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_lifting_is_entering_after_copying_to_the_children(engine):
    require(engine)
    levels = sphere_hierarchy(8, 4).levels
    for fine, coarse in pairwise(levels):
        x = noise(coarse.vertices, 1, 2, 1, 3, 2)
        chosen = choose_engine(engine, x, 4)
        expected = chosen.enter(x.repeat_interleave(4, dim=0), fine)
        found = chosen.lift(chosen.enter(x, coarse), coarse, fine)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_what_enters_leaves_as_it_was(engine):
    require(engine)
    for level in sphere_hierarchy(8, 4).levels:
        x = noise(level.vertices, 1, 2, 1, 3, 2)
        before, chosen = x.clone(), choose_engine(engine, x, 4)
        torch.testing.assert_close(chosen.leave(chosen.enter(x, level), level), x, rtol=1e-12, atol=1e-12)
        assert torch.equal(x, before)


@dtypes
@quick
@settings(deadline=None, max_examples=40)
@given(
    nside=st.sampled_from([2, 4]),
    hemisphere=st.booleans(),
    grid=st.tuples(st.integers(1, 2), *[st.integers(1, 4)] * 3),
    channels=st.integers(1, 40),
    halved=st.booleans(),
)
def test_every_engine_pools_as_the_reference(engine, dtype, nside, hemisphere, grid, channels, halved):
    require(engine)
    fine, coarse = sphere_hierarchy(nside, 2, hemisphere).levels
    sides = [2 * side if halved else side for side in grid[1:]]
    weight = noise(*grid, seed=1).to(dtype)
    results = []
    for name in ("reference", engine):
        x = noise(fine.vertices, grid[0], *sides, channels).to(dtype).requires_grad_()
        chosen = choose_engine(name, x, 4)
        pooled = chosen.leave(chosen.pool(chosen.enter(x, fine), weight, fine, coarse), coarse)
        (pooled * noise(*pooled.shape, seed=2).to(dtype)).sum().backward()
        results.append((pooled.detach(), x.grad))
    for expected, found in zip(*results, strict=True):
        assert found.dtype == dtype and found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype] * float(expected.abs().max()))


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_turning_without_gradients_gives_the_same(engine):
    """It may then use up what it is given, and nothing else."""
    require(engine)
    case = Case(grid=(3, 3, 5), outputs=9)
    (source,), weight, scale, shift, mask = case.tensors(torch.float64)
    chosen, level = choose_engine(engine, source, 4), case.levels[0]
    results = []
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            z, _ = chosen.mix([chosen.enter(source, level)], level, weight, mask, None)
            before = [tensor.detach().clone() for tensor in (source, weight, scale, shift)]
            results.append(chosen.turn(z, level, scale, shift).detach())
            assert all(torch.equal(a, b) for a, b in zip((source, weight, scale, shift), before, strict=True))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_several_callers_at_once_do_not_disturb_each_other(engine):
    """The kernels keep buffers from call to call, which must be each thread's own."""
    require(engine)
    jobs = [Case(grid=(2, 3 + i, 4), channels=(2 + 3 * i,), outputs=9 - i, seed=i) for i in range(6)]

    def compute(case):
        return run(engine, case, torch.float64)

    alone = [compute(case) for case in jobs]
    with ThreadPoolExecutor(max_workers=4) as threads:
        together = list(threads.map(compute, jobs * 3))
    for expected, found in zip(alone * 3, together, strict=True):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10)
