"""Dense deconvolution: tiles agree with one pass over the volume, every voxel is there, memory stays small."""

import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from shd.errors import ResourceError
from shd.fitting.fit import fit
from shd.graphs.hemisphere import vertex_directions
from shd.inference.tiled import deconvolve
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import estimate_scan
from shd.scans.features import feature_count
from shd.scans.normalisation import normalise
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.sphere.harmonics import even_harmonics
from shd.training.settings import FitSettings

PROTOCOL = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))
SHAPE = (44, 6, 5)
DEGREE = 4
REACH = 10  # voxels that the network below looks away: 2 + 2 convolutions, and 2 at half the resolution, in blocks of 2


@lru_cache(maxsize=1)
def phantom():
    return crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL)


@lru_cache(maxsize=4)
def network(tissues: int = 3) -> Deconvolver:
    """A network whose heads answer strongly to everything: an untrained one returns the estimate voxel by voxel.

    Its bias makes some white matter everywhere, where the estimate has none as well.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    responses, gradients = phantom().responses[:tissues], phantom().scan.gradients
    names = tuple(response.tissue for response in responses)
    model = Deconvolver(ModelConfig(feature_count(responses, gradients), names, nside=2, levels=2, width=2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "linear" in name:
                parameter.normal_(std=0.05)
        model.wm.linear.bias.fill_(1.0)
    return model.eval()


def ball(shape=SHAPE):
    """A mask that touches all six faces of the volume, and leaves its corners."""
    place = np.stack(np.indices(shape), axis=-1)
    middle = (np.array(shape) - 1) / 2
    return np.linalg.norm((place - middle) / (middle + 0.6), axis=-1) < 1


def result(mask, core=64, halo=0, tissues=3, **options):
    scan = normalise(replace(phantom().scan, mask=mask))
    responses = phantom().responses[:tissues]
    return deconvolve(network(tissues), scan, responses, degree=DEGREE, core=core, halo=halo, **options)


def difference(ours, theirs, mask):
    """The norm of the difference a voxel, relative to the median norm of the voxels with white matter."""
    norms = np.linalg.norm(theirs.wm[mask], axis=-1)
    return np.linalg.norm(ours.wm[mask] - theirs.wm[mask], axis=-1) / np.median(norms[norms > 0.2 * norms.max()])


@lru_cache(maxsize=1)
def whole():
    return result(ball())


def test_the_network_looks_at_its_neighbours():
    """Else tiles would agree by doing nothing."""
    assert np.median(difference(result(ball(), core=2, halo=0), whole(), ball())) > 0.01


@pytest.mark.parametrize("core", [8, 14])
def test_tiles_with_all_the_network_sees_equal_one_pass(core):
    tiled = result(ball(), core=core, halo=REACH)
    assert difference(tiled, whole(), ball()).max() < 1e-5
    for tissue in ("gm", "csf"):
        np.testing.assert_allclose(tiled.isotropic[tissue], whole().isotropic[tissue], atol=1e-6)


def test_no_seam_shows_with_a_trained_network():
    """It sees farther than half the halo, but hardly: the borders of tiles are like the rest."""
    small = crossing_phantom(60.0, shape=(24, 6, 4), protocol=PROTOCOL)
    settings = FitSettings(steps=6, width=2, tile=4, threads=1, device="cpu")
    fitted = fit(small.scan, small.responses, settings, degree=8)
    scan = normalise(small.scan)
    one, tiled = (
        deconvolve(fitted.model, scan, small.responses, degree=8, core=core, halo=halo)
        for core, halo in ((64, 0), (8, 8))
    )
    np.testing.assert_allclose(one.wm, fitted.fod.wm, atol=1e-5)
    unlike = difference(tiled, one, one.mask).reshape(one.mask.shape)
    assert unlike.max() < 1e-3 and unlike[[7, 8, 15, 16]].max() < 1e-3


def test_every_voxel_of_the_mask_has_an_answer_and_no_other():
    everywhere = np.ones(SHAPE, bool)
    for mask in (everywhere, ball()):
        field = result(mask, core=8, halo=4)
        amounts = field.wm[..., 0] + sum(field.isotropic.values())
        assert (amounts[mask] > 0).all() and np.isfinite(amounts).all() and np.isfinite(field.wm).all()
        assert not field.wm[~mask].any() and not field.isotropic["gm"][~mask].any()
        np.testing.assert_array_equal(field.mask, mask)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (43, 5, 4), (7, 4, 0), (8, 5, 4), (15, 0, 2)])
def test_one_voxel_alone(voxel):
    """In a corner, on an edge, on a border of tiles; the answer is that of one pass."""
    mask = np.zeros(SHAPE, bool)
    mask[voxel] = True
    field = result(mask, core=8, halo=4)
    assert field.wm[voxel][0] > 0 and np.count_nonzero(field.wm.any(axis=-1)) == 1
    np.testing.assert_allclose(field.wm[voxel], result(mask).wm[voxel], rtol=1e-4, atol=1e-6)


def test_islands_do_not_see_each_other():
    """Far apart in one tile, or in two."""
    both, alone = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    both[0, 0, 0] = both[43, 5, 4] = alone[0, 0, 0] = True
    np.testing.assert_allclose(result(both).wm[0, 0, 0], result(alone).wm[0, 0, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 6, 5), (21, 1, 1), (3, 5, 4), (2, 2, 2)])
def test_volumes_thinner_than_a_tile(shape):
    scan = phantom().scan
    x, y, z = shape
    cut = replace(scan, data=scan.data[:x, :y, :z], mask=np.ones(shape, bool))
    arguments = (network(), normalise(cut), phantom().responses)
    tiled = deconvolve(*arguments, degree=DEGREE, core=8, halo=REACH)
    one = deconvolve(*arguments, degree=DEGREE, core=64, halo=0)
    assert tiled.wm.shape == (*shape, 15) and (tiled.wm[..., 0] > 0).all()
    np.testing.assert_allclose(tiled.wm, one.wm, rtol=1e-4, atol=1e-5)


def test_white_matter_alone():
    field = result(ball(), core=8, halo=8, tissues=1)
    assert field.isotropic == {} and (field.wm[ball()][:, 0] > 0).all()


def test_progress_counts_every_voxel_once():
    counts = []
    result(ball(), core=4, halo=2, on_tile=counts.append)
    assert sum(counts) == ball().sum() and len(counts) > 10


def test_an_untrained_network_writes_the_coherent_estimate():
    """In amounts per response: harmonics of what stands at the vertices, each 3° wide."""
    scan, responses = normalise(replace(phantom().scan, mask=ball())), phantom().responses
    vertices = vertex_directions(2)
    model = Deconvolver(network().config).eval()
    field = deconvolve(model, scan, responses, degree=DEGREE, core=8, halo=4)
    estimate = estimate_scan(scan, responses, vertices)[:, 1].astype(float)
    width = np.exp(-0.5 * np.radians(3.0) ** 2 * np.array([0] + 5 * [6] + 9 * [20]))
    basis, count = even_harmonics(vertices, DEGREE), len(vertices)
    assert np.count_nonzero(estimate[:, :count].sum(axis=1) > 0.3) > 100
    for row in range(0, len(estimate), 7):
        voxel, b0 = tuple(scan.voxels[row]), scan.b0[row]
        amounts = estimate[row] * b0 / np.repeat([r.mean_signal[0] for r in responses], [count, 1, 1])
        expected = sum(amounts[v] * basis[v] for v in range(count)) / count * width
        np.testing.assert_allclose(field.wm[voxel], expected, rtol=1e-4, atol=1e-5)
        found = [float(field.isotropic[r.tissue][voxel]) for r in responses[1:]]
        np.testing.assert_allclose(found, amounts[count:] / np.sqrt(4 * np.pi), rtol=1e-4, atol=1e-6)


def test_estimates_made_before_are_taken():
    scan, model = normalise(replace(phantom().scan, mask=ball())), network()
    estimates = estimate_scan(scan, phantom().responses, vertex_directions(2))
    again = deconvolve(model, scan, phantom().responses, degree=DEGREE, core=64, halo=0, estimates=estimates)
    np.testing.assert_array_equal(again.wm, whole().wm)
    other = deconvolve(model, scan, phantom().responses, degree=DEGREE, core=64, halo=0, estimates=0 * estimates)
    assert np.abs(other.wm - whole().wm).max() > 1e-3


def test_boxes_are_no_larger_than_the_mask_needs(monkeypatch):
    """The halo of a small scan is mostly empty, and was once 25 of 26 voxels computed."""
    sizes = []
    consume = Deconvolver.consume

    def measured(model, given, mask, window):
        sizes.append(tuple(mask.shape[1:4]))
        return consume(model, given, mask, window)

    monkeypatch.setattr(Deconvolver, "consume", measured)
    result(np.ones(SHAPE, bool), core=16, halo=8)
    assert sizes == [(24, 6, 6), (32, 6, 6), (20, 6, 6)]


def test_cores_that_do_not_pool_are_refused():
    with pytest.raises(ValueError, match="core 7 and halo 4 must be multiples of 2"):
        result(ball(), core=7, halo=4)


def test_out_of_memory_is_said_and_a_bug_is_not_hidden(monkeypatch):
    errors = iter([torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("a bug")])

    def fail(model, given, mask, window):
        raise next(errors)

    monkeypatch.setattr(Deconvolver, "consume", fail)
    with pytest.raises(ResourceError, match=r"44 × 6 × 6 voxels does not fit .* smaller core and halo than 64 and 0"):
        result(np.ones(SHAPE, bool))
    with pytest.raises(RuntimeError, match="a bug"):
        result(np.ones(SHAPE, bool))


LARGE = """
import resource, sys
import numpy as np
import torch
from shd.inference.tiled import deconvolve
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.features import feature_count
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.simulation.protocols import Protocol, protocol_gradients
from shd.simulation.tissues import tissue_responses
torch.set_num_threads(1)
gradients = protocol_gradients(Protocol("HCP", 18, ((1000.0, 90), (2000.0, 90), (3000.0, 90))))
responses = tissue_responses(np.array([shell.bvalue for shell in gradients.shells]))
model = Deconvolver(ModelConfig(feature_count(responses, gradients), nside=4, levels=3, width=4)).eval()
shape, part = (145, 174, 145), (slice(60, 70), slice(80, 90), slice(70, 73))
data = np.memmap(sys.argv[1], np.int16, "w+", shape=(*shape, 288), order="F")
data[part] = 1000 * np.exp(-1e-3 * gradients.bvalues)
mask = np.zeros(shape, bool)
mask[part] = True
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
field = deconvolve(model, normalise(Scan(data, np.eye(4), gradients, mask)), responses, degree=8)
assert (sum(amounts[mask] for amounts in field.isotropic.values()) > 0).all()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does, and needs sparse files")
def test_memory_follows_the_mask_and_not_the_scan(tmp_path):
    """300 voxels of a scan of the Human Connectome Project's size, 2.1 GB in int16, whose fODFs would fill 0.7 GB."""
    command = [sys.executable, "-c", LARGE, str(tmp_path / "scan.raw")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 500  # MB


def test_half_precision_changes_little():
    half = result(ball(), bfloat16=True)
    assert half.wm.dtype == np.float32
    assert difference(half, whole(), ball()).max() < 0.05
