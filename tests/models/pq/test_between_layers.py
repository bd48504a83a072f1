"""What stands between layers: gate, batch norm, pooling, recomputation, and the check of ordinary nonlinearities."""

import copy

import pytest
import torch
from torch import nn

from shd.errors import ShdWarning
from shd.models.pq.check import check_nonlinearities
from shd.models.pq.config import SegmentationConfig
from shd.models.pq.convolution import PQConvolution
from shd.models.pq.fields import FieldType
from shd.models.pq.gate import Gate
from shd.models.pq.normalisation import FieldBatchNorm
from shd.models.pq.pooling import QLengthPool, UnweightedMean
from shd.models.pq.segmenter import build_segmenter
from tests.models.pq.field_symmetries import random_field
from tests.models.pq.q_samples import cube, shell

TYPE, DOUBLE = FieldType((2, 2, 1)), torch.float64


def test_the_gate_opens_each_tensor_by_a_scalar_of_its_own():
    gate = Gate(TYPE)
    assert gate.type_in == FieldType((5, 2, 1))
    x = random_field(gate.type_in, 3, (2, 2, 2), DOUBLE)
    y = gate(x)
    plain, gates, vectors, tensor = x[:, :, :2], x[:, :, 2:5].sigmoid(), x[:, :, 5:11], x[:, :, 11:]
    torch.testing.assert_close(y[:, :, :2], plain * plain.sigmoid())
    torch.testing.assert_close(y[:, :, 5:8], vectors[:, :, 3:] * gates[:, :, 1:2])
    torch.testing.assert_close(y[:, :, 8:], tensor * gates[:, :, 2:])


def test_scalars_alone_need_no_gate():
    x = random_field((3,), 2, (2, 2, 2), DOUBLE)
    torch.testing.assert_close(Gate(FieldType((3,)))(x), torch.nn.functional.silu(x))


def test_batch_norm_of_scalars_is_the_ordinary_one():
    ours, theirs = FieldBatchNorm(FieldType((3,))).double(), nn.BatchNorm3d(3).double()
    for seed in range(3):
        x = 3.0 + 2.0 * random_field((3,), 4, (3, 2, 2), DOUBLE, seed)
        torch.testing.assert_close(ours(x), theirs(x.flatten(0, 1)).unflatten(0, (2, 4)))
    ours.eval(), theirs.eval()
    # torch lets the running variance follow the unbiased one: 96 values here
    torch.testing.assert_close(ours(x), theirs(x.flatten(0, 1)).unflatten(0, (2, 4)), rtol=0.01, atol=0.01)


def test_batch_norm_divides_tensors_by_their_norm_and_leaves_their_mean():
    norm, x = FieldBatchNorm(TYPE).double(), 5.0 + random_field(TYPE, 4, (3, 3, 3), DOUBLE)
    y = norm(x).detach()
    for place, count in ((slice(2, 5), 3), (slice(8, 13), 5)):
        assert float(y[:, :, place].square().sum(2).mean()) == pytest.approx(count, rel=1e-3)
        ratio = y[:, :, place] / x[:, :, place]
        torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio))
    torch.testing.assert_close(y[:, :, :2].mean((0, 1, 3, 4, 5)), torch.zeros(2, dtype=DOUBLE), atol=1e-12, rtol=0)


@pytest.mark.parametrize("module", [Gate(TYPE), FieldBatchNorm(TYPE), QLengthPool(TYPE, cube()[:3], "learnt")])
def test_gradients_are_those_of_finite_differences(module):
    module = copy.deepcopy(module).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.linspace(-0.3, 0.4, parameter.numel(), dtype=DOUBLE).reshape(parameter.shape))
    names = [name for name, _ in module.named_parameters()]
    x = random_field(module.type_in, 3, (2, 1, 2), DOUBLE).requires_grad_(True)

    def answer(x, *values):
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(answer, (x, *module.parameters()), fast_mode=True)


def test_the_length_pool_begins_as_the_mean_and_weighs_by_length_alone():
    pool, x = QLengthPool(TYPE, cube()).double(), random_field(TYPE, 15, (2, 2, 2), DOUBLE)
    torch.testing.assert_close(pool(x), x.mean(1, keepdim=True))
    with torch.no_grad():
        pool.weight[2] = torch.tensor([1.0, -2.0, 0.5])
    response = [
        pool(torch.eye(15, dtype=DOUBLE)[q].reshape(1, 15, 1, 1, 1, 1).expand(1, 15, 13, 1, 1, 1)) for q in range(15)
    ]
    weights = torch.stack(response)[:, 0, 0, :, 0, 0, 0]
    torch.testing.assert_close(weights[:, 2:5], weights[:, 2:3].expand(-1, 3))
    for same in (slice(1, 7), slice(7, 15)):
        torch.testing.assert_close(weights[same], weights[same][:1].expand_as(weights[same]))
    assert len({round(float(w), 9) for w in weights[:, 2].detach()}) == 3


def test_b0_volumes_become_one_that_comes_first():
    q = shell(2, unweighted=1)[[1, 0, 2, 0]]
    mean, signal = UnweightedMean(q), torch.randn(1, 4, 2, 2, 2)
    torch.testing.assert_close(
        mean(signal), torch.stack([(signal[:, 1] + signal[:, 3]) / 2, signal[:, 0], signal[:, 2]], 1)
    )
    torch.testing.assert_close(mean.q, q[[1, 0, 2]])
    only = UnweightedMean(shell(3))
    assert only.q.shape == (3, 3)
    torch.testing.assert_close(only(signal[:, :3]), signal[:, :3])


@pytest.mark.parametrize("kind", ["equivariant", "cnn"])
def test_recomputing_gives_the_same_step(kind):
    config = SegmentationConfig(kind=kind, pq_channels=((2, 1),), p_channels=((3, 1),))
    torch.manual_seed(0)
    plain = build_segmenter(config, cube()).double()
    lean = copy.deepcopy(plain)
    lean.recompute = True
    signal = random_field((1,), 15, (4, 4, 4), DOUBLE)[:, :, 0]
    for network in (plain, lean):
        network(signal).square().mean().backward()
    for (name, ours), theirs in zip(lean.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
    for (name, ours), theirs in zip(lean.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_recomputing_keeps_less():
    torch.manual_seed(0)
    network, kept = build_segmenter(SegmentationConfig(pq_channels=((4, 2),), p_channels=((4, 2),)), cube()), {}
    for network.recompute in (False, True):
        sizes = {}

        def keep(tensor, sizes=sizes):
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            answer = network(torch.randn(1, 15, 8, 8, 8))
        kept[network.recompute] = sum(sizes.values())
        del answer
    assert kept[True] < 0.5 * kept[False]


def test_ordinary_nonlinearities_on_tensors_are_warned_about():
    layer = PQConvolution((1,), (2, 1), 3, cube(), cube(), radial="learnt")
    with pytest.warns(ShdWarning, match=r"1 \(ReLU\) is put on 2×l0\+1×l1: 1 of these"):
        assert not check_nonlinearities(nn.Sequential(layer, nn.ReLU()))
    with pytest.warns(ShdWarning, match=r"0\.1\.0 \(BatchNorm3d\)"):
        assert not check_nonlinearities(nn.ModuleDict({"0": nn.Sequential(layer, nn.Sequential(nn.BatchNorm3d(5)))}))


def test_what_commutes_is_not_warned_about():
    scalars, gate = PQConvolution((1,), (4,), 3, cube(), cube()), Gate(FieldType((2, 1)))
    assert check_nonlinearities(nn.Sequential(scalars, nn.ReLU(), PQConvolution((4,), gate.type_in, 3), gate))
    assert check_nonlinearities(nn.Sequential(gate, nn.Conv3d(5, 4, 3), nn.ReLU()))
    assert check_nonlinearities(build_segmenter(SegmentationConfig(radial="learnt"), cube()))
