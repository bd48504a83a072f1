"""Do the gradient directions fit the image? Fibres lead into their like; mirrored ones lead out of the bundle."""

import itertools
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from shd.errors import ShdWarning
from shd.scans.scan import Scan
from shd.signal.gradients import MINIMUM_DIRECTIONS

__all__ = ["CoherenceReport", "checked_directions", "gradient_coherence", "lead_in_standard_errors"]

Verdict = Literal["confirmed", "undecided", "inconsistent"]

_AXES = "xyz"
# A claim needs both: a lead this large (an isotropic water bottle reached 3 % by its artefacts) …
_LEAD = 0.05
# … that is this many standard errors over blocks of voxels (23 alternatives are tried).
_CERTAINTY = 3.0
_BLOCK = 4
# Above this b the logarithm of the signal is no longer straight in b, and noise floors bend it.
_TENSOR_BVALUE = 1500.0
# Enough for a standard error; more only costs time.
_VOXEL_LIMIT = 150_000


@dataclass(frozen=True, eq=False)
class CoherenceReport:
    """What neighbouring fibre directions say about the gradient table.

    verdict: "confirmed" (the table given is best by a clear lead), "undecided", or "inconsistent" (another is best by a
    clear lead). best: that axis permutation and flip in words; matrix: v_best = matrix·v_given along the image axes
    (rows signed unit vectors). score_given, score_best: coherence, 0 to 1. certainty: standard errors between best and
    given, or if given is best, between it and the runner-up.
    """

    verdict: Verdict
    best: str
    matrix: Float[np.ndarray, "3 3"]
    score_given: float
    score_best: float
    certainty: float
    message: str

    @property
    def consistent(self) -> bool:
        """Whether nothing speaks against the table given (confirmed or undecided)."""
        return self.verdict != "inconsistent"


def checked_directions(scan: Scan, name: str = "") -> CoherenceReport:
    """Return what `gradient_coherence` says, having warned (ShdWarning) where the directions do not fit the image.

    name: of the subject, in the warning, where there are several.
    """
    report = gradient_coherence(scan)
    if not report.consistent:
        warnings.warn(f"{name}: {report.message}" if name else report.message, ShdWarning, stacklevel=3)
    return report


def gradient_coherence(scan: Scan) -> CoherenceReport:
    """Return whether another permutation or flip of the image axes would suit the gradient directions better.

    The idea is the fibre coherence index of Schilling et al. (2019, "A fiber coherence index for quality control of
    B-table orientation in diffusion MRI scans", Magn. Reson. Imaging) and Jeurissen et al. (2014). With e the main
    tensor direction of voxel i, n its FA, and u the unit step to each of 26 neighbours j,

        C = Σ n_i (e_i·u)⁸ · n_j (e_i·e_j)² (e_j·u)² / Σ n_i (e_i·u)⁸ :

    one step along the fibre one should meet the same fibre. Voxels i are those of the mask; voxels j may lie one step
    outside it, for it is leaving a bundle that betrays a wrong direction. Turning every gradient by P turns every
    tensor direction by P, so a single tensor fit serves all 24 candidates. Standard errors come from leaving out
    blocks of 4³ voxels (jackknife). Big scans are judged by their central slices.
    """
    box = _central_box(scan)
    inside = scan.mask[box]
    reached = ndimage.binary_dilation(inside, np.ones((3, 3, 3)))
    directions, anisotropy = _main_directions(scan, box, reached)
    candidates = _candidates()
    sums, weights = _block_sums(directions, anisotropy, inside, scan.voxel_sizes, candidates)
    total = weights.sum(axis=0)
    if not (total > 0).all():
        return _report("undecided", candidates[0], 0.0, 0.0, 0.0)
    scores = sums.sum(axis=0) / total
    ranking = np.argsort(-scores, kind="stable")
    best = int(ranking[0])
    rival = int(ranking[1]) if best == 0 else 0
    certainty = lead_in_standard_errors(sums, weights, best, rival)
    clear = scores[best] >= (1.0 + _LEAD) * scores[rival] and certainty >= _CERTAINTY
    verdict: Verdict = ("confirmed" if best == 0 else "inconsistent") if clear else "undecided"
    return _report(verdict, candidates[best], float(scores[0]), float(scores[best]), certainty)


def _report(
    verdict: Verdict, matrix: Float[np.ndarray, "3 3"], given: float, best: float, certainty: float
) -> CoherenceReport:
    words = _in_words(matrix)
    message = {
        "confirmed": "gradient directions agree with the image: no permutation or flip of the axes suits it better",
        "undecided": (
            "no error found in the gradient directions, but too few fibres to be sure: no permutation or flip of the "
            "axes is clearly best. Look whether fibres follow the bundles in a picture of the result"
        ),
        "inconsistent": (
            f"gradient directions do not fit the image: neighbouring fibres agree better with {words} (coherence "
            f"{given:.4f} as given, {best:.4f} so; {certainty:.1f} standard errors). Check the convention of the bvec "
            "file (dwigradcheck of MRtrix3 can write a corrected one)"
        ),
    }[verdict]
    return CoherenceReport(verdict, words, matrix, given, best, certainty, message)


def _candidates() -> list[Float[np.ndarray, "3 3"]]:
    """Return the 24 signed permutations of the axes that differ as axes (±P are the same); the identity first."""
    flips = ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))
    return [np.diag(np.array(f, float)) @ np.eye(3)[list(p)] for p in itertools.permutations(range(3)) for f in flips]


def _in_words(matrix: Float[np.ndarray, "3 3"]) -> str:
    """Return a signed permutation as text, for example "image axes y, -x, z"."""
    if np.array_equal(matrix, np.eye(3)):
        return "as given"
    source = np.argmax(np.abs(matrix), axis=1)
    names = [("-" if matrix[row, column] < 0 else "") + _AXES[column] for row, column in enumerate(source)]
    flipped = [_AXES[row] for row in range(3) if matrix[row, row] < 0]
    if len(flipped) == 1 and np.count_nonzero(np.diag(matrix)) == 3:
        return f"image axis {flipped[0]} flipped"
    return f"image axes {', '.join(names)} in place of x, y, z"


def _central_box(scan: Scan) -> tuple[slice, slice, slice]:
    """Return the mask's bounding box and one voxel around it, the last axis cut to middle slices with enough voxels."""
    spans = [np.flatnonzero(scan.mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = [slice(max(0, int(span[0]) - 1), int(span[-1]) + 2) for span in spans]
    counts = scan.mask[tuple(box)].sum(axis=(0, 1))
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    reach = 0
    while counts[max(0, middle - reach) : middle + reach + 1].sum() < min(_VOXEL_LIMIT, counts.sum()):
        reach += 1
    first, last = box[2].start + middle - reach - 1, box[2].start + middle + reach + 1
    box[2] = slice(max(box[2].start, first), min(box[2].stop, last + 1))
    return box[0], box[1], box[2]


def _main_directions(
    scan: Scan, box: tuple[slice, slice, slice], chosen: Bool[np.ndarray, "x y z"]
) -> tuple[Float[np.ndarray, "x y z 3"], Float[np.ndarray, "x y z"]]:
    """Return each voxel's main tensor direction along the image axes, and its FA (zero where not chosen)."""
    volumes = _tensor_volumes(scan)
    table = scan.gradients
    g = table.directions[volumes] @ scan.rotation
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    columns = [-(1.0 if i == j else 2.0) * table.bvalues[volumes] * g[:, i] * g[:, j] for i, j in pairs]
    design = np.stack([np.ones(len(volumes)), *columns], axis=1)
    corner = np.array([span.start for span in box])
    directions, anisotropy = np.zeros((*chosen.shape, 3)), np.zeros(chosen.shape)
    for voxels in np.array_split(np.argwhere(chosen), max(1, int(chosen.sum()) // 20_000)):
        signal = np.nan_to_num(scan.intensities(voxels + corner)[:, volumes].astype(np.float64), posinf=0.0)
        values, vectors = np.linalg.eigh(_tensors(signal, design))
        values = np.maximum(values, 0.0)
        spread = np.sum((values - values.mean(axis=1, keepdims=True)) ** 2, axis=1)
        where = tuple(voxels.T)
        directions[where] = vectors[:, :, 2]
        anisotropy[where] = np.sqrt(1.5 * spread / np.maximum(np.sum(values**2, axis=1), 1e-30))
    return directions, anisotropy


def _tensor_volumes(scan: Scan) -> Int[np.ndarray, " chosen"]:
    """Return b=0 and the shells up to b = 1500, or the lowest shell that has enough directions."""
    shells = scan.gradients.weighted_shells
    chosen = [shell for shell in shells if shell.bvalue <= _TENSOR_BVALUE]
    if sum(len(shell.volumes) for shell in chosen) < 2 * MINIMUM_DIRECTIONS:
        chosen = [*chosen, *(shell for shell in shells if shell.bvalue > _TENSOR_BVALUE)][: len(chosen) + 1]
    return np.concatenate([scan.gradients.b0_volumes, *(shell.volumes for shell in chosen)])


def _tensors(
    signal: Float[np.ndarray, "voxel volume"], design: Float[np.ndarray, "volume 7"]
) -> Float[np.ndarray, "voxel 3 3"]:
    """Return diffusion tensors by least squares of ln S, weighted by the squared signal that a first fit predicts."""
    floor = np.maximum(1e-3 * signal.max(axis=1, keepdims=True), 1e-6)
    logarithm = np.log(np.maximum(signal, floor))
    scale = np.abs(design).max(axis=0)
    unit = design / scale
    first = logarithm @ np.linalg.pinv(unit).T @ unit.T
    weight = np.exp(2.0 * (first - first.max(axis=1, keepdims=True)))
    normal = np.einsum("vi,ij,ik->vjk", weight, unit, unit, optimize=True)
    normal += 1e-8 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(7)
    solution = np.linalg.solve(normal, ((weight * logarithm) @ unit)[..., None])[..., 0] / scale
    xx, yy, zz, xy, xz, yz = solution[:, 1:].T
    return np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], axis=1).reshape(-1, 3, 3)


def _block_sums(
    directions: Float[np.ndarray, "x y z 3"],
    anisotropy: Float[np.ndarray, "x y z"],
    inside: Bool[np.ndarray, "x y z"],
    voxel_sizes: Float[np.ndarray, "3"],
    candidates: list[Float[np.ndarray, "3 3"]],
) -> tuple[Float[np.ndarray, "block candidate"], Float[np.ndarray, "block candidate"]]:
    """Return numerator and denominator of C for each block of voxels and each candidate."""
    shape = anisotropy.shape
    grid = tuple(-(-size // _BLOCK) for size in shape)
    block = np.arange(np.prod(grid)).reshape(grid)[tuple(np.indices(shape) // _BLOCK)]
    sums, weights = np.zeros((2, int(np.prod(grid)), len(candidates)))
    for step in (s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)):
        here, there = (_shifted(shape, tuple(sign * s for s in step)) for sign in (1, -1))
        near: Bool[np.ndarray, "x y z"] = inside[here] | inside[there]
        e_i, n_i, from_i = directions[here][near], anisotropy[here][near], inside[here][near]
        e_j, n_j, from_j = directions[there][near], anisotropy[there][near], inside[there][near]
        owner = block[here][near]
        like = np.sum(e_i * e_j, axis=1) ** 2
        unit = np.array(step) * voxel_sizes
        unit = unit / np.linalg.norm(unit)
        for index, candidate in enumerate(candidates):
            along_i, along_j = (e_i @ (candidate.T @ unit)) ** 2, (e_j @ (candidate.T @ unit)) ** 2
            weight_i, weight_j = from_i * n_i * along_i**4, from_j * n_j * along_j**4
            agreement = like * (weight_i * n_j * along_j + weight_j * n_i * along_i)
            sums[:, index] += np.bincount(owner, agreement, len(sums))
            weights[:, index] += np.bincount(owner, weight_i + weight_j, len(sums))
    return sums, weights


def _shifted(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the box of voxels whose neighbour at `step` is inside the volume."""
    return tuple(slice(max(0, -s), size - max(0, s)) for s, size in zip(step, shape, strict=True))


def lead_in_standard_errors(
    sums: Float[np.ndarray, "block candidate"], weights: Float[np.ndarray, "block candidate"], best: int, rival: int
) -> float:
    """Return by how many jackknife standard errors the score of `best` exceeds that of `rival`."""
    used = weights.sum(axis=1) > 0
    sums, weights = sums[used][:, [best, rival]], weights[used][:, [best, rival]]
    count = len(sums)
    lead = np.diff(sums.sum(axis=0) / weights.sum(axis=0))[0]
    if count < 8:  # too few blocks to know the spread
        return 0.0
    left_out = np.diff((sums.sum(axis=0) - sums) / (weights.sum(axis=0) - weights), axis=1)[:, 0]
    error = np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2))
    return float(-lead / max(error, 1e-12))
