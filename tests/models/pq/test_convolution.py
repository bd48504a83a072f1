"""The p-q-space convolution against loops, against e3nn's own convolution of points, and against conv3d."""

import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from shd.errors import SettingsError
from shd.models.pq.contraction import factored_convolution, folded_convolution, joined
from shd.models.pq.convolution import PQConvolution
from shd.models.pq.coupling import ANGULAR_BASES
from shd.models.pq.fields import FieldType
from shd.models.pq.plan import Sizes, factored_multiplications, folded_multiplications, plan
from shd.models.pq.transposed_convolution import PQTransposedConvolution
from tests.models.networks import default_dtype
from tests.models.pq.brute_force import convolved
from tests.models.pq.field_symmetries import random_field
from tests.models.pq.q_samples import shell

DOUBLE = torch.float64
SAMPLES = torch.cat([shell(2, unweighted=1), shell(1, seed=5, length=0.5)])


def layer(*arguments, seed=0, **choices):
    torch.manual_seed(seed)
    return PQConvolution(*arguments, **choices).double()


@pytest.mark.parametrize("angular", [("tp", "same_q"), ("p",), ("q",), ("p", "pq_diff")])
@pytest.mark.parametrize("channels", [((1, 2), (2, 1)), ((0, 1), (1, 0, 1))])
def test_the_layer_is_what_loops_over_everything_give(angular, channels):
    if angular == ("q",) and channels == ((0, 1), (1, 0, 1)):
        angular = ("q", "p")
    ours = layer(*channels, 3, SAMPLES[1:], SAMPLES[:2], angular=angular)
    with torch.no_grad():
        x = random_field(channels[0], 3, (2, 1, 2), DOUBLE, batch=1)
        expected = convolved(ours, angular, x[0], lengths=((2, 1.0), (2, 1.0)))
        torch.testing.assert_close(ours(x)[0], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("channels", [((2,), (3, 2, 1)), ((2, 1, 1), (1, 2)), ((0, 2), (2, 0, 2))])
@pytest.mark.parametrize("size", [3, 5])
def test_without_q_space_it_is_the_convolution_of_points_by_e3nn(channels, size):
    """Edges between voxels, their weights sums of radial functions: `FullyConnectedTensorProduct` edge by edge."""
    ours = layer(*channels, size)
    type_in, type_out = map(FieldType.of, channels)
    highest = type_in.highest_order + type_out.highest_order
    irreps_in, irreps_out = (
        o3.Irreps([(n, (l, 1)) for l, n in enumerate(t.channels) if n]) for t in (type_in, type_out)
    )
    with default_dtype(DOUBLE):  # e3nn keeps its coefficients in this precision
        product = o3.FullyConnectedTensorProduct(
            irreps_in, o3.Irreps([(1, (l, 1)) for l in range(highest + 1)]), irreps_out,
            shared_weights=False, path_normalization="none",
        )  # fmt: skip
    x = random_field(channels[0], 1, (4, 3, 3), DOUBLE, batch=1)
    padded = functional.pad(x[0, 0], [size // 2] * 6)
    offsets = ours.geometry.p_offsets()
    expected = torch.zeros(type_out.dimension, 4, 3, 3, dtype=DOUBLE)
    with torch.no_grad():
        for tap, offset in enumerate(offsets):
            weights = [
                torch.einsum("k,kuv->vu", ours.separable[0].p_radii()[:, tap], block).flatten()
                for block in map(
                    lambda i: _path_weight(ours.separable[0], i, irreps_in, irreps_out), product.instructions
                )
            ]
            i, j, k = tap // size**2, tap // size % size, tap % size
            neighbour = padded[:, i : i + 4, j : j + 3, k : k + 3].flatten(1).T
            edges = o3.spherical_harmonics(list(range(highest + 1)), offset, True, "component").expand(36, -1)
            answer = product(neighbour, edges, torch.cat(weights).expand(36, -1))
            expected += answer.T.reshape(expected.shape)
    torch.testing.assert_close(ours(x)[0, 0].detach(), expected, rtol=1e-10, atol=1e-10)


def _path_weight(kernel, instruction, irreps_in, irreps_out):
    into, out = irreps_in[instruction.i_in1].ir.l, irreps_out[instruction.i_out].ir.l
    place = [path.filter for path in kernel.paths[out, into]].index(instruction.i_in2)
    return kernel.weights[f"{into}to{out}"][0, :, place]


def test_of_order_0_alone_it_is_a_convolution_with_a_radially_symmetric_kernel():
    ours = layer((2,), (3,), 3)
    kernel = ours.separable[0]
    distance = torch.stack(torch.meshgrid(*3 * [torch.arange(-1.0, 2.0, dtype=DOUBLE)], indexing="ij")).norm(dim=0)
    bumps = torch.stack([torch.exp(-(((distance - k) / 0.8) ** 2)) for k in (0, 1)])
    weight = torch.einsum("koi,kxyz->oixyz", kernel.weights["0to0"][0, :, 0], bumps)
    x = random_field((2,), 1, (5, 4, 3), DOUBLE)
    torch.testing.assert_close(ours(x)[:, 0], functional.conv3d(x[:, 0], weight, padding=1))
    assert len({round(float(v), 12) for v in weight[0, 0].detach().flatten()}) == 4, "centre, faces, edges, corners"


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([("tp",), ("p", "q"), ("tp", "same_q"), ("same_q",)]),
    st.sampled_from([((1,), (2, 1)), ((2, 1), (1, 2)), ((1, 1), (2,))]),
    st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 2, 3, 4]), st.integers(1, 2), st.integers(0, 2),
)  # fmt: skip
def test_folded_and_factored_convolutions_agree(angular, channels, q_in, q_out, size, stride, padding):
    bases = angular if angular != ("same_q",) else ("same_q", "p")
    ours = layer(*channels, max(size, 3), shell(q_in, unweighted=1), shell(q_out, unweighted=1, seed=1), angular=bases)
    with torch.no_grad():
        x = random_field(channels[0], q_in + 1, (5, 4, 6), DOUBLE)
        factors = ours.factors()
        folded = folded_convolution(x, joined(factors), stride, padding)
        torch.testing.assert_close(factored_convolution(x, factors, stride, padding), folded)


@pytest.mark.parametrize("angular", [("p",), ("tp",), ("tp", "same_q"), ("q", "p")])
@pytest.mark.parametrize("radial", ["gaussian", "learnt"])
def test_shell_by_shell_is_the_same_as_all_at_once(angular, radial):
    """40 directions of a jittered shell, 30 of another and b=0, in no order; the layer takes the shells apart."""
    samples = torch.cat([shell(40), shell(30, unweighted=1, seed=3, length=0.6)])
    samples[:40] *= torch.linspace(0.99, 1.0, 40, dtype=DOUBLE).unsqueeze(1)
    samples = samples[torch.randperm(71, generator=torch.Generator().manual_seed(0))]
    ours = layer((1, 1), (2, 1), 3, samples, samples, angular=angular, radial=radial)
    if angular != ("p",):
        assert len(ours.blocks) == 9 and {block.factored for block in ours.blocks} == {True, False}
    with torch.no_grad():
        x = random_field((1, 1), 71, (3, 1, 2), DOUBLE, batch=1)
        torch.testing.assert_close(ours(x), folded_convolution(x, ours.dense_kernel(), 1, 1))


def test_the_plan_has_the_fewest_multiplications():
    sizes = Sizes(out=30, into=19, taps=27, harmonics=17, functions=65)
    one, two = torch.zeros(1), torch.ones(60)
    few = plan(torch.ones(6), torch.ones(6), sizes)
    assert [(block.one_length, block.factored) for block in few] == [(False, False)], "few samples are folded"
    many = plan(torch.cat([one, two]), torch.cat([one, two]), sizes)
    ways = [(len(block.out), len(block.into), block.factored) for block in many]
    assert ways == [(1, 1, False), (1, 60, False), (60, 1, True), (60, 60, True)]
    constant = plan(torch.cat([one, two]), torch.cat([one, two]), sizes._replace(harmonics=1, functions=1))
    assert [(block.one_length, block.factored) for block in constant] == [(False, True)]
    grid = torch.linspace(0, 1, 61)
    assert len(plan(grid, grid, sizes)) == 1, "lengths that are all different are no shells"


def test_the_counts_are_those_of_the_matrices():
    ours = layer((1,), (2, 1), 3, shell(4), shell(3, seed=1), angular=("p", "q"))
    functions, out, into, taps = ours.factors().p.shape
    sizes = Sizes(out, into, taps, functions, functions)
    assert sizes[:3] == (5, 1, 27)
    assert folded_multiplications(3, 4, sizes) == (3 * 5) * (4 * 1) * 27
    assert factored_multiplications(3, 4, functions, sizes) == 4 * (functions * 5) * 27 + 3 * (4 * functions) * 5


@pytest.mark.parametrize("most", [1, 600, 5000])
def test_samples_taken_some_at_a_time_give_the_same(most, monkeypatch):
    ours = layer((2, 1), (1, 2), 3, SAMPLES, SAMPLES[1:], angular=("p", "q"))
    x, factors = random_field((2, 1), 4, (4, 3, 2), DOUBLE), ours.factors()
    whole = factored_convolution(x, factors, 1, 1)
    monkeypatch.setattr("shd.models.pq.contraction.MOST_BETWEEN", most)
    torch.testing.assert_close(factored_convolution(x, factors, 1, 1), whole)


@pytest.mark.parametrize("angular", [("tp", "same_q"), ("pq_diff",)])
def test_the_transposed_layer_is_the_layer_at_stride_1(angular):
    ours = layer((1, 1), (2, 1), 3, SAMPLES, SAMPLES, angular=angular)
    theirs = PQTransposedConvolution((1, 1), (2, 1), 3, SAMPLES, SAMPLES, angular=angular).double()
    theirs.load_state_dict(ours.state_dict())
    x = random_field((1, 1), 4, (4, 3, 5), DOUBLE)
    torch.testing.assert_close(theirs(x), ours(x))


def test_the_transposed_layer_is_the_adjoint_of_the_strided_one():
    """⟨y, A x⟩ = ⟨Aᵀ y, x⟩ where Aᵀ's kernel is that of A mirrored and transposed: with scalars, the same weights."""
    ours, theirs = layer((1,), (1,), 4, stride=2, padding=1), PQTransposedConvolution((1,), (1,), 4, stride=2).double()
    theirs.load_state_dict(ours.state_dict())
    x, y = random_field((1,), 1, (6, 8, 4), DOUBLE), random_field((1,), 1, (3, 4, 2), DOUBLE, seed=1)
    assert theirs(y).shape == x.shape
    torch.testing.assert_close((ours(x) * y).sum(), (x * theirs(y)).sum())


@pytest.mark.parametrize("angular", [("tp", "same_q"), ("pq_diff",), ("p", "q")])
def test_white_input_gives_output_of_variance_one(angular):
    ours = layer((3, 2), (16, 8), 3, SAMPLES, SAMPLES, angular=angular)
    y = ours(random_field((3, 2), 4, (12, 12, 12), DOUBLE))[..., 1:-1, 1:-1, 1:-1]
    for order in (0, 1):
        assert float(y[:, :, ours.type_out.block(order)].detach().var()) == pytest.approx(1.0, rel=0.35)


@pytest.mark.parametrize("angular", [*((name,) for name in ANGULAR_BASES), ("tp", "same_q")])
@pytest.mark.parametrize("radial", ["cosine", "learnt"])
def test_gradients_are_those_of_finite_differences(angular, radial):
    ours = layer((1, 1), (1, 1), 3, SAMPLES[:3], SAMPLES[1:4], angular=angular, radial=radial)
    names = [name for name, _ in ours.named_parameters()]
    x = random_field((1, 1), 3, (2, 1, 2), DOUBLE, batch=1).requires_grad_(True)

    def answer(x, *values):
        return torch.func.functional_call(ours, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(answer, (x, *ours.parameters()), fast_mode=True)


def test_orders_that_nothing_connects_are_one_clear_error():
    with pytest.raises(SettingsError, match=r"no filter leads to order 1, 2 .* kernel of 3 voxels"):
        PQConvolution((2,), (2, 1, 1), 1)
    with pytest.raises(SettingsError, match="no filter leads to order 1"):
        PQConvolution((2,), (1, 1), 1, SAMPLES[:1], SAMPLES[:1])
    with pytest.raises(SettingsError, match="no filter leads to order 2"):
        PQConvolution((2,), (1, 0, 1), 1, SAMPLES, SAMPLES)  # l_p = 0 alone is more than 1 away from l_filter = 2
    PQConvolution((2,), (2, 1, 1), 1, SAMPLES, SAMPLES, angular=("q",))


def test_input_of_another_type_is_refused():
    ours = PQConvolution((1, 1), (2,), 3, SAMPLES, SAMPLES)
    with pytest.raises(SettingsError, match=r"\(2, 3, 4, 5, 5, 5\).* 4 q-space samples, 4 components"):
        ours(torch.zeros(2, 3, 4, 5, 5, 5))


@pytest.mark.parametrize("choices", [{"angular": ("pq",)}, {"angular": ()}, {"radial": "bessel"}])
def test_unknown_bases_are_refused(choices):
    with pytest.raises(SettingsError, match=r"angular bas|radial basis"):
        PQConvolution((1,), (1,), 3, SAMPLES, SAMPLES, **choices)
