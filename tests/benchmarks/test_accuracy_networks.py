"""The networks of others between our inputs and heads: they run, they learn, and have the symmetries claimed."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from benchmarks.deconvolvers.methods import METHODS, OURS, network_of
from benchmarks.deconvolvers.training import NETWORKS, Budget, RivalDeconvolver, maker, train
from benchmarks.deconvolvers.trunks.position_orientation import PositionOrientation
from benchmarks.deconvolvers.trunks.whole_sphere import WholeSphere, rt_esd
from shd.fitting.budget import default_settings
from shd.fitting.fit import fit
from shd.graphs.hemisphere import symmetry_permutations
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import Coherence
from shd.scans.normalisation import normalise
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training.settings import FitSettings
from shd.training.subject import SubjectTraining
from tests.models.networks import (
    answering,
    config,
    default_dtype,
    packed,
    settled,
    some_features,
    some_mask,
    turning_white_matter,
)
from tests.support.equivariance import assert_equivariant, equivariance_error
from tests.support.symmetries import VoxelSymmetry, permuting_vertices, sphere_permutations

PROTOCOL = Protocol("small", 2, ((1000.0, 20), (3000.0, 30)))
GRID = (1, 4, 4, 4)
GENERATORS = [VoxelSymmetry((1, 2, 0), ()), VoxelSymmetry((1, 0, 2), ()), VoxelSymmetry((0, 1, 2), (0,))]
RIVALS = [name for name, network in NETWORKS.items() if network.trunk is not None]


@lru_cache(maxsize=1)
def phantom():
    torch.set_num_threads(1)
    return crossing_phantom(60.0, shape=(4, 4, 4), protocol=PROTOCOL)


@lru_cache(maxsize=8)
def network(name):
    """Return a small network in double precision whose heads no longer start at zero, and an input for it."""
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        model = maker(NETWORKS[name], phantom().scan.rotation)(config(nside=4, width=6, normalisation="voxel"))
    mask = some_mask(GRID, torch.float64, seed=5)
    settled(model, lambda: model(some_features(model.config, GRID, torch.float64), mask))
    x = packed(some_features(model.config, GRID, torch.float64, seed=1), some_mask(GRID, torch.float64))
    return model, x


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns(name):
    """The loss of what it trains on falls; one tile is the whole scan, so the losses compare.

    From voxels' own estimates: the coherent one is so near the least loss that little is left to learn.
    """
    settings = FitSettings(
        steps=40,
        width=4,
        tile=4,
        threads=1,
        device="cpu",
        engine=NETWORKS[name].engine,
        learning_rate=2e-3,
        coherence=Coherence(rounds=0),
    )
    run = SubjectTraining(
        normalise(phantom().scan), phantom().responses, settings, build=maker(NETWORKS[name], phantom().scan.rotation)
    )
    losses = [run.step()["loss"] for _ in range(40)]
    assert np.isfinite(losses).all()
    # the first is that of the first estimate, the same for all
    assert losses[-1] < 0.99 * losses[0]


@pytest.mark.parametrize("name", RIVALS)
def test_before_training_every_network_answers_with_the_first_estimate(name):
    shape = config(nside=4)
    features, mask = some_features(shape, GRID, torch.float32), some_mask(GRID, torch.float32)
    with torch.no_grad():
        ours = Deconvolver(shape)(features, mask)
        theirs = maker(NETWORKS[name], phantom().scan.rotation)(shape)(features, mask)
    torch.testing.assert_close(theirs.wm, ours.wm)
    torch.testing.assert_close(theirs.isotropic, ours.isotropic)


@pytest.mark.parametrize("name", RIVALS)
def test_every_parameter_of_every_network_has_a_gradient(name):
    model, x = network(name)
    model.zero_grad()
    answer = model(x[..., :-1], x[0, ..., -1:])
    (answer.wm.square().sum() + answer.isotropic.square().sum()).backward()
    idle = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not idle


@pytest.mark.parametrize("name", RIVALS)
def test_outside_the_mask_is_zero_and_has_no_influence(name):
    model, x = network(name)
    answer = answering(model)(x)
    outside = x[0, ..., -1] == 0
    assert not answer[:, outside].any()
    noise = 100 * some_features(model.config, GRID, torch.float64, seed=9)
    disturbed = packed(torch.where(x[..., -1:] > 0, x[..., :-1], noise), x[0, ..., -1:])
    torch.testing.assert_close(answering(model)(disturbed), answer, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", RIVALS)
def test_a_window_gives_the_answer_of_its_voxels(name):
    """What a network sees of its window's surroundings may be cut two voxels away, as ours does."""
    model = network(name)[0]
    grid = (1, 8, 4, 4)
    x, mask = some_features(model.config, grid, torch.float64), some_mask(grid, torch.float64)
    with torch.no_grad():
        whole, part = model(x, mask), model(x, mask, (slice(2, 8), slice(0, 4), slice(0, 4)))
    torch.testing.assert_close(part.wm[:, :, 2:], whole.wm[:, :, 4:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["esd", "rt-esd"])
def test_spherical_networks_turn_with_the_signal_and_with_the_volume(name):
    model, x = network(name)
    for permutation in sphere_permutations(4, hemisphere=True):
        turn = turning_white_matter(permutation, model.config.tissues)
        assert_equivariant(answering(model), permuting_vertices(permutation), turn, x)
    for symmetry in GENERATORS:
        act = symmetry.acting_on(2)
        assert_equivariant(answering(model), act, act, x)


def joint_symmetries():
    """Return the pairs of a symmetry of the voxel grid and the vertex permutation of the same matrix."""
    voxel = {
        "quarter turn": VoxelSymmetry((1, 0, 2), (0,)),
        "mirror": VoxelSymmetry((0, 1, 2), (1,)),
        "half turn": VoxelSymmetry((0, 1, 2), (0, 1)),
    }
    matrices = {
        "quarter turn": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        "mirror": np.diag([1.0, -1, 1]),
        "half turn": np.diag([-1.0, -1, 1]),
    }
    known = symmetry_permutations(4)
    for name, symmetry in voxel.items():
        permutation = next(p for matrix, p in known if np.allclose(matrix, matrices[name]))
        yield pytest.param(symmetry, permutation, id=name)


@pytest.mark.parametrize(("symmetry", "permutation"), list(joint_symmetries()))
def test_ponita_turns_where_volume_and_directions_turn_together(symmetry, permutation):
    """With voxel axes along the scanner's; either alone changes its answer, where ours follows."""
    model, x = network("ponita")
    in_space, over_directions = symmetry.acting_on(2), permuting_vertices(permutation)
    turn = turning_white_matter(permutation, model.config.tissues)
    assert_equivariant(answering(model), lambda v: over_directions(in_space(v)), lambda v: turn(in_space(v)), x)
    assert equivariance_error(answering(model), in_space, in_space, x) > 1e-4
    assert equivariance_error(answering(model), over_directions, turn, x) > 1e-4


def test_ponitas_axes_are_those_of_the_voxels():
    """A volume that is turned in the scanner has the same network: directions turn against the grid."""
    shape = config(nside=4)
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    torch.manual_seed(0)
    straight = PositionOrientation(shape, np.eye(3))
    torch.manual_seed(0)
    other = PositionOrientation(shape, turned)
    permutation = next(p for matrix, p in symmetry_permutations(4) if np.allclose(matrix, turned))
    x, mask = some_features(shape, GRID, torch.float32), torch.ones(*GRID, 1)
    with torch.no_grad():
        expected, found = straight(x, mask)[permutation], other(x[permutation], mask)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_cnn_moves_with_the_volume_but_knows_no_rotation():
    model, x = network("cnn")
    wide = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 0, 0, 2))
    assert_equivariant(answering(model), lambda v: v.roll(2, dims=2), lambda v: v.roll(2, dims=2), wide)
    permutation = sphere_permutations(4, hemisphere=True)[0]
    turn = turning_white_matter(permutation, model.config.tissues)
    assert equivariance_error(answering(model), permuting_vertices(permutation), turn, x) > 1e-4
    act = GENERATORS[0].acting_on(2)
    assert equivariance_error(answering(model), act, act, x) > 1e-4


@pytest.mark.parametrize("name", ["mlp", "esd"])
def test_voxelwise_networks_look_at_no_neighbour(name):
    model, x = network(name)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))

    def shuffled(v):
        return v.flatten(2, 4)[:, :, order].unflatten(2, (4, 4, 4))

    assert_equivariant(answering(model), shuffled, shuffled, x)


def test_an_mlp_knows_no_rotation():
    model, x = network("mlp")
    permutation = sphere_permutations(4, hemisphere=True)[0]
    turn = turning_white_matter(permutation, model.config.tissues)
    assert equivariance_error(answering(model), permuting_vertices(permutation), turn, x) > 1e-4


def test_rt_esd_is_our_network_with_equal_weights():
    """On even signals, which the inputs are: the same answer for twice the work."""
    shape = config(nside=4, levels=2, normalisation="voxel")
    with default_dtype(torch.float64):
        ours = Deconvolver(shape)
        theirs = RivalDeconvolver(shape, rt_esd(shape))
    assert isinstance(theirs.unet, WholeSphere)
    settled(ours, lambda: ours(some_features(shape, GRID, torch.float64), some_mask(GRID, torch.float64)))
    weights = {n.replace("unet.", "unet.network.", 1): value for n, value in ours.state_dict().items()}
    theirs.load_state_dict(weights)
    x, mask = some_features(shape, GRID, torch.float64, seed=2), some_mask(GRID, torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x, mask).wm, ours(x, mask).wm, rtol=1e-10, atol=1e-10)


def test_our_row_is_what_shd_fit_does():
    scan, responses = phantom().scan, phantom().responses
    ours = fit(scan, responses, default_settings(int(scan.mask.sum()), steps=3, seed=3))
    row = METHODS[OURS].run(scan, responses, Budget(steps=3, seed=3))
    assert np.array_equal(row.wm, ours.fod.wm)
    assert trained_terms(ours) == {"data"}  # of the directions that the network, trained before, has not seen


def trained_terms(result):
    """Return the names of the losses that a fit's steps report."""
    return set(result.history[-1]) - {"step", "seconds", "loss", "held_out"}


@pytest.mark.parametrize("key", ["shd", "cnn"])
def test_the_published_losses_are_those_of_the_publication(key):
    """Its three terms at the weights of the noise variance 0.0025 (`LossWeights`), and none of ours."""
    scan, responses = phantom().scan, phantom().responses
    for suffix, extra in (("", set()), ("-tv", {"variation"})):
        name, weights = network_of(key + suffix)
        result = train(name, scan, responses, Budget(steps=1), weights=weights)
        assert trained_terms(result) == {"data", "sparsity", "negativity"} | extra
        assert result.fod.wm.shape[:3] == scan.shape
        assert np.isfinite(result.fod.wm).all()
        step = result.history[-1]
        expected = step["data"] + 40 * step["negativity"] + 0.005 * step["sparsity"] + 1.2 * step.get("variation", 0)
        assert step["loss"] == pytest.approx(expected, rel=1e-5)
