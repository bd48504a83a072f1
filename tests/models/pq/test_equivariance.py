"""Layers and networks under turns of the image and of q-space: exact on the grid, else the better the finer it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from shd.models.pq.config import SegmentationConfig
from shd.models.pq.convolution import PQConvolution
from shd.models.pq.fields import FieldType
from shd.models.pq.gate import Gate
from shd.models.pq.normalisation import FieldBatchNorm
from shd.models.pq.pooling import QLengthPool, QMean
from shd.models.pq.segmenter import build_segmenter
from shd.models.pq.transposed_convolution import PQTransposedConvolution
from shd.sphere.rotations import random_rotation
from tests.models.pq.field_symmetries import (
    A_REFLECTION,
    A_TURN,
    REFLECTIONS,
    ROTATIONS,
    acting_on_field,
    component_matrix,
    random_field,
    sample_permutation,
)
from tests.models.pq.q_samples import axes, cube, shell
from tests.support.equivariance import DTYPES, assert_equivariant, equivariance_error

dtypes = pytest.mark.parametrize("dtype", DTYPES)
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
TYPE, HIGH, ORIGIN = FieldType((2, 1)), FieldType((1, 2, 1)), cube()[:1]

# Every layer, on samples that the cube's rotations permute: module, channels in and out, q in and out.
LAYERS = {
    "product and same q": lambda: (PQConvolution(TYPE, HIGH, 3, axes(), axes()), axes(), axes()),
    "product, two lengths": lambda: (PQConvolution((1,), (2, 1), 3, cube(), cube(), angular=("tp",)), cube(), cube()),
    "difference": lambda: (PQConvolution(TYPE, HIGH, 3, axes(), cube(), angular=("pq_diff",)), axes(), cube()),
    "p and q": lambda: (PQConvolution(HIGH, TYPE, 3, cube(), axes(), angular=("p", "q")), cube(), axes()),
    "learnt, five voxels": lambda: (PQConvolution((1,), TYPE, 5, axes(), axes(), radial="learnt"), axes(), axes()),
    "cosine, to no q": lambda: (PQConvolution(TYPE, HIGH, 3, axes(), ORIGIN, radial="cosine"), axes(), None),
    "without q-space": lambda: (PQConvolution(HIGH, (1, 1, 1), 3), None, None),
    "stride 2": lambda: (PQConvolution(TYPE, HIGH, 3, axes(), axes(), stride=2), axes(), axes()),
    "transposed": lambda: (PQTransposedConvolution(TYPE, HIGH, 4, axes(), axes(), stride=2), axes(), axes()),
    "gate": lambda: (Gate(HIGH), cube(), cube()),
    "batch norm": lambda: (FieldBatchNorm(HIGH), cube(), cube()),
    "length pool": lambda: (QLengthPool(HIGH, cube()), cube(), None),
    "mean": lambda: (QMean(HIGH, cube()), cube(), None),
}


def unsettled(module, dtype):
    """Give every parameter and statistic a random value, so that none hides another's fault."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.mul_(0.8).add_(0.2 * torch.rand(tensor.shape, generator=generator))
    return module.to(dtype)


@dtypes
@pytest.mark.parametrize("name", LAYERS)
def test_layers_turn_with_the_grid(name, dtype):
    torch.manual_seed(0)
    layer, q_in, q_out = LAYERS[name]()
    layer = unsettled(layer, dtype)
    sides = (5, 5, 5) if getattr(layer, "stride", 1) == 2 else (4, 4, 4)
    x = random_field(layer.type_in, 1 if q_in is None else len(q_in), sides, dtype, batch=1)
    for symmetry in ROTATIONS[::4] if dtype == torch.float32 else ROTATIONS:
        turn_in, turn_out = (
            acting_on_field(symmetry, kind, q) for kind, q in ((layer.type_in, q_in), (layer.type_out, q_out))
        )
        assert_equivariant(layer, turn_in, turn_out, x, tolerance=TOLERANCES[dtype])


def test_batch_norm_turns_with_the_grid_while_it_is_not_training_too():
    norm = unsettled(FieldBatchNorm(HIGH), torch.float64).eval()
    turn, x = acting_on_field(A_TURN, HIGH, cube()), random_field(HIGH, 15, (4, 4, 4), torch.float64)
    assert_equivariant(norm, turn, turn, x, tolerance=1e-10)


@dtypes
@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("gate", "batch norm", "length pool", "mean")])
def test_filters_without_handedness_reflect_with_the_grid(name, dtype):
    torch.manual_seed(0)
    plain, q_in, q_out = LAYERS[name]()
    choices = {"kernel_size": plain.geometry.size, "stride": plain.stride, "padding": plain.padding}
    angular = {"difference": ("pq_diff",), "p and q": ("p", "q"), "without q-space": ("p",)}.get(name, ("tp", "same_q"))
    layer = type(plain)(
        plain.type_in, plain.type_out, q_in=q_in, q_out=ORIGIN if q_out is None else q_out,
        angular=angular, reflections=True, **choices,
    )  # fmt: skip
    layer = unsettled(layer, dtype)
    x = random_field(layer.type_in, 1 if q_in is None else len(q_in), (5, 5, 5), dtype)
    for symmetry in REFLECTIONS[::6]:
        turn_in, turn_out = (
            acting_on_field(symmetry, kind, q) for kind, q in ((layer.type_in, q_in), (layer.type_out, q_out))
        )
        assert_equivariant(layer, turn_in, turn_out, x, tolerance=TOLERANCES[dtype])


def test_all_published_filters_together_have_handedness():
    layer, x = PQConvolution(TYPE, HIGH, 3, axes(), axes()).double(), random_field(TYPE, 7, (4, 4, 4), torch.float64)
    turn_in, turn_out = (acting_on_field(A_REFLECTION, kind, axes()) for kind in (TYPE, HIGH))
    assert equivariance_error(layer, turn_in, turn_out, x) > 0.1


@pytest.mark.parametrize(
    "broken", [nn.ReLU(), nn.BatchNorm3d(12), nn.Conv3d(12, 12, 3, padding=1)], ids=lambda module: type(module).__name__
)
def test_the_tester_fails_on_ordinary_layers(broken):
    layer = PQConvolution(TYPE, HIGH, 3, axes(), axes())
    broken = broken.double()
    map_ = nn.Sequential(layer, nn.Flatten(0, 1), broken, nn.Unflatten(0, (2, 7))).double()
    x = random_field(TYPE, 7, (4, 4, 4), torch.float64)
    turn_in, turn_out = (acting_on_field(A_TURN, kind, axes()) for kind in (TYPE, HIGH))
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(map_, turn_in, turn_out, x, tolerance=1e-2)


SMALL = SegmentationConfig(pq_channels=((3, 2), (2, 1, 1)), p_channels=((3, 2),), classes=2)


def acting_on_scan(symmetry, q):
    places = sample_permutation(q, symmetry.matrix)
    return lambda signal: symmetry.acting_on(2)(signal)[:, places]


def network(config, q, dtype):
    torch.manual_seed(0)
    built = build_segmenter(config, q).to(dtype)
    for seed in range(3):
        built(random_field((1,), len(q), (6, 6, 6), dtype, seed)[:, :, 0])
    return built.eval()


@dtypes
@pytest.mark.parametrize("q_reduction", ["length", "convolution"])
def test_the_network_turns_with_the_grid(dtype, q_reduction):
    q = cube()[[0, *range(7), 0]]
    built = network(replace(SMALL, q_reduction=q_reduction), q, dtype)
    signal = random_field((1,), len(q), (4, 4, 4), dtype, seed=9, batch=1)[:, :, 0]
    for symmetry in ROTATIONS[::4] if dtype == torch.float32 else ROTATIONS:
        assert_equivariant(built, acting_on_scan(symmetry, q), symmetry.acting_on(2), signal, TOLERANCES[dtype])


@dtypes
def test_the_network_reflects_with_the_grid_if_asked(dtype):
    signal = random_field((1,), 7, (5, 5, 5), dtype)[:, :, 0]
    for reflections in (True, False):
        built = network(replace(SMALL, reflections=reflections), axes(), dtype)
        arguments = built, acting_on_scan(A_REFLECTION, axes()), A_REFLECTION.acting_on(2), signal
        if reflections:
            assert_equivariant(*arguments, TOLERANCES[dtype])
        else:
            assert equivariance_error(*arguments) > 1e-2


def test_the_tester_fails_on_the_plain_cnn():
    signal = random_field((1,), 7, (5, 5, 5), torch.float64)[:, :, 0]
    built = network(replace(SMALL, kind="cnn"), axes(), torch.float64)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(built, acting_on_scan(A_TURN, axes()), A_TURN.acting_on(2), signal, tolerance=1e-2)


@dtypes
@pytest.mark.parametrize("kind", ["equivariant", "cnn"])
def test_networks_shift_with_the_image(kind, dtype):
    """Signal surrounded by more zeros than a tile needs, but for what a bias makes of nothing at the border."""
    built = network(replace(SMALL, kind=kind), axes(), dtype)
    signal = torch.zeros(1, 7, 15, 15, 15, dtype=dtype)
    signal[..., 4:10, 5:9, 5:10] = random_field((1,), 7, (6, 4, 5), dtype, batch=1)[:, :, 0]
    inside = slice(built.receptive_radius + 2, -built.receptive_radius - 2)

    def shifted(image):
        return image.roll((2, -1, 1), dims=(-3, -2, -1))

    def middle(image):
        return image[..., inside, inside, inside]

    with torch.no_grad():
        found, expected = middle(built(shifted(signal))), middle(shifted(built(signal)))
    assert float((found - expected).abs().max()) <= TOLERANCES[dtype] * float(expected.abs().max())


def test_samples_that_no_symmetry_permutes_turn_too():
    """Another scan's q-vectors, turned with the head: the network for them answers with the turned answer."""
    q = torch.cat([shell(5, unweighted=1), shell(3, seed=2, length=0.7)])
    turned = q @ torch.as_tensor(A_TURN.matrix).T
    here, there = (network(SMALL, samples, torch.float64) for samples in (q, turned))
    there.load_state_dict(here.state_dict())
    signal = random_field((1,), 9, (5, 5, 5), torch.float64)[:, :, 0]
    turn = A_TURN.acting_on(2)
    with torch.no_grad():
        torch.testing.assert_close(there(turn(signal)), turn(here(signal)), rtol=1e-10, atol=1e-10)


def smooth_scan(q, voxels, rotation, side=9):
    """Return a scan of a few Gaussian blobs of anisotropic diffusion, turned about the middle voxel of the grid.

    voxels: how many of them a blob's width takes.
    """
    generator = np.random.default_rng(5)
    grid = (np.stack(np.meshgrid(*3 * [np.arange(side) - side // 2], indexing="ij"), -1)) / voxels @ rotation
    samples, scan = q.numpy() @ rotation, 0.0
    for _ in range(6):
        centre, axis, amount = generator.normal(0, 1, 3), generator.normal(0, 1, 3), generator.uniform(0.5, 1)
        blob = amount * np.exp(-0.5 * ((grid - centre) ** 2).sum(-1))
        scan = scan + blob * np.exp(-((samples @ axis) ** 2))[:, None, None, None]
    return torch.from_numpy(scan).unsqueeze(0)


@pytest.mark.parametrize("what", ["layer", "network"])
def test_by_any_angle_the_error_falls_with_resolution(what):
    """At the middle voxel, which stays: what is left is that the taps are few, of second order in the voxel's size."""
    q = shell(6, unweighted=1)
    rotations = [random_rotation(np.random.default_rng(seed)) for seed in range(3)]
    errors = {voxels: _error_by_any_angle(what, q, voxels, rotations) for voxels in (1.5, 3.0, 6.0)}
    coarse, middle, fine = errors.values()
    assert fine < 0.4 * middle < 0.4 * 0.6 * coarse, errors
    assert fine < 0.01, errors


def _error_by_any_angle(what, q, voxels, rotations):
    errors = []
    for rotation in rotations:
        turned = q @ torch.as_tensor(rotation).T
        here, there = (_smooth_map(what, samples) for samples in (q, turned))
        there.load_state_dict(here.state_dict())
        with torch.no_grad():
            answer = here(smooth_scan(q, voxels, np.eye(3)))[..., 4, 4, 4]
            found = there(smooth_scan(turned, voxels, rotation))[..., 4, 4, 4]
        if what == "layer":
            answer = answer @ component_matrix(TYPE, rotation).T
        errors.append(float((found - answer).norm() / answer.norm()))
    return float(np.mean(errors))


def _smooth_map(what, q):
    if what == "network":
        return network(replace(SMALL, batch_norm=False), q, torch.float64)
    torch.manual_seed(0)
    return nn.Sequential(nn.Unflatten(1, (len(q), 1)), PQConvolution((1,), TYPE, 3, q, q)).double()
