"""An estimate of the whole scan at once, in which neighbouring voxels bear each other out.

It minimises, over m ≥ 0 and all voxels x,

    ½‖A m_x − s_x‖²  +  ½ λ_c ⟨m_x, m_x − (N m)_x⟩  +  λ_s Σ_u ε m(x, u) / (p(x, u) + ε) ,

by rounds of the voxel-wise iteration (`first_estimate`), between which voxels talk to each other (`estimate_rounds`):

- N m is the mean over the six neighbours (`neighbourhood`). The second term wants neighbours alike; it is weak.
- p is N m spread over neighbouring directions. The third term is sparsity, weighed anew every round (Candès, Wakin and
  Boyd, J. Fourier Anal. Appl. 14 (2008)): a direction that the neighbours have as well is nearly free, one that stands
  alone pays in full. So borders of bundles stay sharp, which total variation rounds off, while noise, which no two
  voxels share, is put out. Auría et al., NeuroImage 115 (2015), call it structured sparsity.
- s is the signal less the noise floor of the magnitude that the estimate predicts (`signal.noise.rician_bias`).

λ_c and λ_s are in units of the noise's pull on one direction (`noise_pull`), so that one set serves every protocol.
N acts on voxels alone and the spread on directions alone: the estimate moves with either, as the network does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from shd.engines.choice import choose_engine
from shd.scans.estimate_rounds import CompiledRounds, RoundModel, TorchRounds
from shd.scans.first_estimate import RIDGE, Design, design, first_estimator
from shd.scans.neighbourhood import neighbourhood
from shd.scans.noise_level import noise_level
from shd.scans.normalisation import NormalisedScan
from shd.signal.response import Response
from shd.sphere.harmonics import even_harmonics

__all__ = ["SCALES", "Coherence", "direction_spread", "estimate_scan", "noise_pull", "relative_noise", "round_model"]

SCALES = 2
"""Estimates a voxel: its own, and the one that agrees with its neighbours."""

_LEAST_NOISE = 1e-3  # of S/S₀: simulations without noise must not divide by zero
_LARGEST_NOISE = 1.0  # of S/S₀: beyond, a voxel is noise alone and no weight is large enough to matter
_LOW_DEGREE = 2  # of white matter's signal up to which a tensor, and so any tissue, explains it


@dataclass(frozen=True)
class Coherence:
    """How far neighbours count. The defaults are measured: docs/accuracy.md.

    continuity, sparsity: λ_c and λ_s in units of the noise's pull, 0 leaves the term out. support: ε, at which half of
    the sparsity is lifted; as a density of mean 1 it is ε√V, 0.6 on 384 vertices. spread_degrees: width (σ) of the
    Gaussian over directions in p. rounds: how often voxels talk; steps: of the iteration between. noise_floor: whether
    magnitude noise is accounted for.
    """

    continuity: float = 2.0
    sparsity: float = 16.0
    support: float = 0.03
    spread_degrees: float = 8.0
    rounds: int = 24
    steps: int = 6
    noise_floor: bool = True


def noise_pull(model: Design, vertices: Float[np.ndarray, "vertex 3"], deviation: float) -> float:
    """Return how strongly noise of this deviation (of S/S₀) pulls on one direction, on average over the vertices.

    The gradient of ½‖Am − s‖² for noise n is Aᵀn, of deviation σ·‖a_u‖ for vertex u. Of a_u only the part beyond degree
    2 is counted: what lower degrees explain, no direction needs.
    """
    count = len(vertices)
    columns = model.columns[model.volumes, :count]
    low, _ = torch.linalg.qr(torch.from_numpy(even_harmonics(vertices, _LOW_DEGREE)))
    rest = columns - (columns @ low) @ low.T
    return float(torch.linalg.vector_norm(rest, dim=0).mean()) * deviation / len(model.volumes)


def relative_noise(scan: NormalisedScan) -> Float[np.ndarray, " voxel"]:
    """Return the deviation of the noise in each voxel's S/S₀, at least 0.001 and at most 1."""
    noise = np.divide(noise_level(scan), scan.b0, out=np.ones_like(scan.b0), where=scan.b0 > 0)
    return noise.clip(_LEAST_NOISE, _LARGEST_NOISE).astype(np.float32)


def estimate_scan(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    vertices: Float[np.ndarray, "vertex 3"],
    device: torch.device | str = "cpu",
    *,
    coherence: Coherence = Coherence(),
    noise: Float[np.ndarray, " voxel"] | None = None,
    engine: str = "auto",
    block: int | None = None,
    on_block: Callable[[int | float], None] = lambda voxels: None,
) -> Float16[np.ndarray, "voxel scale unknown"]:
    """Return the estimates of every voxel of a scan, alone and coherent, in half precision.

    Fractions of the b=0 signal: white matter a vertex (its mean its part), then each other tissue. Beside the result 8
    bytes an unknown are held for each voxel. noise: `relative_noise(scan)` if it is known. engine: one of
    `shd.engines.ENGINES`; "compiled" has kernels for it, all others are torch, equal to rounding. block: voxels that
    are computed at a time. on_block: told how many voxels each piece of work was worth, all together as many as there
    are. Raises ResourceError where "compiled" is asked for and cannot be.
    """
    device = torch.device(device)
    noise = relative_noise(scan) if noise is None else noise
    model = round_model(scan, responses, vertices, device, coherence, noise)
    compiled = choose_engine(engine, model.spread[:0], radii=1).name == "compiled"
    rounds = CompiledRounds(model) if compiled else TorchRounds(model)
    unknowns = model.alone.lift.shape[1]
    out = np.empty((len(scan.signal), SCALES, unknowns), dtype=np.float16)
    before, state = (torch.empty((len(out), unknowns), device=device) for _ in range(2))
    share, step = 1 / (1 + coherence.rounds), block or rounds.block
    blocks = [slice(start, min(start + step, len(out))) for start in range(0, len(out), step)]

    def signal(rows: slice) -> Float[Tensor, "chosen volume"]:
        return torch.from_numpy(np.array(scan.signal[rows])).to(device)  # a copy: the scan may be read-only

    for rows in blocks:
        rounds.begin(signal(rows), state, rows)
        torch.from_numpy(out[rows, 0]).copy_(model.alone.fractions(state[rows]))
        on_block(share * len(out[rows]))
    for _ in range(coherence.rounds):
        before, state = state, before
        for rows in blocks:
            rounds.agree(signal(rows), before, state, rows)
            on_block(share * len(out[rows]))
    for rows in blocks:
        torch.from_numpy(out[rows, 1]).copy_(model.alone.fractions(state[rows]))
    return out


def round_model(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    vertices: Float[np.ndarray, "vertex 3"],
    device: torch.device,
    coherence: Coherence,
    relative: Float[np.ndarray, " voxel"],
) -> RoundModel:
    """Return what the rounds of one scan share, on one device."""
    model = design(responses, scan.gradients, vertices)
    unit = noise_pull(model, vertices, 1.0)
    continuity = coherence.continuity * unit * (float(np.median(relative)) if len(relative) else 0.0)
    # the ridge has what the pull towards the neighbours shifts away from zero
    together = first_estimator(responses, scan.gradients, vertices, device, RIDGE + continuity)
    floor = torch.zeros(len(model.weight), device=device)
    if coherence.noise_floor:
        floor[model.volumes] = 1.0
    return RoundModel(
        alone=first_estimator(responses, scan.gradients, vertices, device),
        together=together,
        columns=model.columns.T.to(device, torch.float32).contiguous(),
        floor=floor,
        spread=torch.from_numpy(direction_spread(vertices, coherence.spread_degrees).astype(np.float32)).to(device),
        neighbours=neighbourhood(scan, device),
        noise=torch.from_numpy(np.ascontiguousarray(relative)).to(device),
        continuity=continuity,
        sparsity=coherence.sparsity * unit,
        support=coherence.support,
        steps=coherence.steps,
    )


def direction_spread(vertices: Float[np.ndarray, "vertex 3"], degrees: float) -> Float[np.ndarray, "vertex vertex"]:
    """Return the Gaussian of the angle between two axes, every row and column of sum 1."""
    angles = np.degrees(np.arccos(np.clip(np.abs(vertices @ vertices.T), 0, 1)))
    kernel = np.exp(-0.5 * (angles / degrees) ** 2)
    for _ in range(50):  # Sinkhorn and Knopp 1967, symmetric
        root = np.sqrt(kernel.sum(axis=1))
        kernel /= root[:, None] * root
    return kernel
