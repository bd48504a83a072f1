"""The coherent estimate's rounds on small scans, to hold compiled kernels to torch's operations in double precision."""

from dataclasses import fields, replace

import numpy as np
import torch

from shd.graphs.hemisphere import vertex_directions
from shd.scans.coherent_estimate import Coherence, round_model
from shd.scans.estimate_rounds import CompiledRounds, RoundModel, TorchRounds
from shd.scans.normalisation import NormalisedScan
from shd.simulation.protocols import protocol_gradients
from shd.simulation.tissues import tissue_responses

SINGLE = 1e-5  # of the largest number: what docs/engines.md promises of float32


def small_scan(protocol, tissues, shape, seed=0):
    """Random signals between 0 and 1 in three quarters of the voxels, and responses."""
    generator = np.random.default_rng(seed)
    gradients = protocol_gradients(protocol)
    inside = generator.random(shape) < 0.75
    rows = np.full(shape, -1)
    rows[inside] = np.arange(inside.sum())
    signal = generator.random((int(inside.sum()), len(gradients.bvalues)), dtype=np.float32)
    responses = tissue_responses(np.array([shell.bvalue for shell in gradients.shells]))[:tissues]
    return NormalisedScan(signal, np.ones(len(signal), np.float32), rows, gradients, np.eye(4)), responses


def small_model(scan, responses, nside, coherence=Coherence(), seed=0) -> RoundModel:
    """With noise from next to none to all there is."""
    noise = np.geomspace(1e-3, 1, len(scan.signal)).astype(np.float32)
    noise = np.random.default_rng(seed).permutation(noise)
    return round_model(scan, responses, vertex_directions(nside), torch.device("cpu"), coherence, noise)


def doubled(part):
    """A model, or an estimator, in double precision."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    wide = {}
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            wide[name] = value.double()
        elif name in ("alone", "together"):
            wide[name] = doubled(value)
    return replace(part, **wide)


def states_after(rounds, signal, unknowns, count, block=None):
    """The states of all voxels after the first estimate and so many rounds."""
    before, state = (torch.zeros(len(signal), unknowns, dtype=signal.dtype) for _ in range(2))
    step = block or max(1, len(signal))
    blocks = [slice(start, min(start + step, len(signal))) for start in range(0, len(signal), step)]
    for rows in blocks:
        rounds.begin(signal[rows], state, rows)
    for _ in range(count):
        before, state = state, before
        for rows in blocks:
            rounds.agree(signal[rows], before, state, rows)
    return state


def assert_compiled_equals_double(protocol, tissues, nside, shape=(3, 4, 5), rounds=3):
    """Kernels against torch's operations in double precision, from the first estimate on."""
    scan, responses = small_scan(protocol, tissues, shape)
    model = small_model(scan, responses, nside)
    signal, unknowns = torch.from_numpy(scan.signal), model.alone.lift.shape[1]
    for count in (0, 1, rounds):
        exact = states_after(TorchRounds(doubled(model)), signal.double(), unknowns, count)
        found = states_after(CompiledRounds(model), signal, unknowns, count)
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=SINGLE * float(exact.abs().max()))
