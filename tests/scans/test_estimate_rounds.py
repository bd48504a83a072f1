import numpy as np
import pytest
import torch

from shd.graphs.hemisphere import vertex_directions
from shd.scans.coherent_estimate import Coherence, estimate_scan
from shd.scans.estimate_rounds import CompiledRounds, TorchRounds
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH
from tests.support.engines import require
from tests.support.rounds import assert_compiled_equals_double, small_model, small_scan, states_after


@pytest.fixture(autouse=True)
def _kernels():
    require("compiled")


@pytest.mark.parametrize(
    ("protocol", "tissues", "nside"), [(RESEARCH, 3, 2), (RESEARCH, 1, 2), (HARDI, 2, 4), (CLINICAL, 1, 8)],
    ids=["three tissues", "white matter alone", "one shell, two tissues", "one shell, all vertices"],
)  # fmt: skip
def test_kernels_compute_what_torch_does_in_double_precision(protocol, tissues, nside):
    assert_compiled_equals_double(protocol, tissues, nside)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (2, 4, 1), (3, 3, 3)])
def test_any_number_of_voxels(shape):
    """Fewer than a block of voxels has, a whole block, and one more."""
    assert_compiled_equals_double(CLINICAL, 1, 2, shape)


@pytest.mark.parametrize(
    "coherence",
    [Coherence(noise_floor=False), Coherence(continuity=0.0), Coherence(sparsity=0.0), Coherence(steps=1)],
    ids=["no noise floor", "no continuity", "no sparsity", "one step"],
)
def test_terms_can_be_left_out(coherence):
    scan, responses = small_scan(RESEARCH, 3, (3, 4, 3))
    model = small_model(scan, responses, 2, coherence)
    signal = torch.from_numpy(scan.signal)
    ours, theirs = (states_after(kind(model), signal, 26, 2) for kind in (CompiledRounds, TorchRounds))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("block", [1, 7, 8, 64])
def test_blocks_and_threads_change_no_bit(block):
    scan, responses = small_scan(RESEARCH, 3, (3, 4, 5))
    model, signal = small_model(scan, responses, 2), torch.from_numpy(scan.signal)
    whole = states_after(CompiledRounds(model), signal, 26, 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        parts = states_after(CompiledRounds(model), signal, 26, 3, block)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(parts, whole)


def test_the_engine_of_an_estimate_can_be_chosen():
    scan, responses = small_scan(RESEARCH, 3, (3, 4, 3))
    auto, compiled, torch_s = (
        estimate_scan(scan, responses, vertex_directions(2), engine=name).astype(float)
        for name in ("auto", "compiled", "torch")
    )
    np.testing.assert_array_equal(auto, compiled)
    np.testing.assert_allclose(torch_s, compiled, rtol=2e-3, atol=2e-3 * compiled.max())
    with pytest.raises(ValueError, match="engine 'fast': use one of"):
        estimate_scan(scan, responses, vertex_directions(2), engine="fast")
