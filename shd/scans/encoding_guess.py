"""In which basis, and along which axes, are these fODFs told? What the functions themselves say.

A single fibre's function is the same all round its axis; told in a wrong basis it is not. And some way along a fibre
one meets the same fibre; told along wrong axes it leads out of its bundle.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.fodf.encoding import Axes
from shd.scans.coherence import lead_in_standard_errors
from shd.sphere.bases import DIPY_BASES, change_basis
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import coefficient_count, coefficient_degrees, degree_of_count, even_harmonics
from shd.sphere.rotations import grid_rotation

__all__ = ["Guess", "guess_axes", "guess_basis"]

_VOXELS = 20_000  # looked at for the basis
_FEWEST = 30
_GRID = 1000
_DEGREE = 4  # noise fills the higher ones
_PLAUSIBLE = 0.3  # above it, no basis makes fibres of these functions; CSD of a noisy scan has 0.19 in its own
_CLEAR = 4.0  # standard errors by which the best basis must lead every other
_ROUNDING = 2e-3  # of an asymmetry: without noise its standard error is no guide
_ALIKE = ("tournier07", "tournier07_legacy")
_LEAD, _CERTAINTY = 0.01, 3.5  # axes: relative lead in coherence, and standard errors over blocks of voxels
_STRIDES = (1, 2, 3, 4)  # voxels; further along, fibres bend
_POWERS = (2, 16)
_BLOCK = 4
_SAME = 1e-3  # of a rotation matrix: axes that differ by less, up to the sign of all, are the same for fibres


@dataclass(frozen=True)
class Guess:
    """best: basis or axes that suit best. sure: whether by a clear lead. words: the figures, in a sentence."""

    best: str
    sure: bool
    words: str


def guess_basis(coefficients: Float[np.ndarray, "voxel coeff"], seed: int = 0) -> Guess:
    """Return which of DIPY's four bases the functions are told in; tournier07 is also that of MRtrix3.

    For each basis, and each of the voxels (20,000, drawn by `seed`), with u where the function up to degree 4 is
    highest, the share of power that is not symmetric about u,

        A = 1 − Σ_l (c_l · Y_l(u))² 4π/(2l+1) / Σ_l |c_l|²,    l = 2, 4,

    is zero for a single fibre in its own basis, whichever the axes. Bases are compared in the quarter of voxels where
    it is smallest in either of two, those of one fibre: the best must lead by 4 standard errors of the difference.
    Fibres of few directions can look alike in two bases: then it is not sure. tournier07 and its legacy form (MRtrix
    0.2) differ by a factor √2 alone; where noise hides that, the newer is taken, and the words say so.
    """
    drawn = np.random.default_rng(seed).permutation(len(coefficients))[:_VOXELS]
    degree = min(_DEGREE, degree_of_count(coefficients.shape[-1]))
    chosen = coefficients[drawn, : coefficient_count(degree)].astype(np.float64)
    power = np.sum(chosen[:, 1:] ** 2, axis=1)
    chosen = chosen[np.isfinite(power) & (power > 0)]
    if degree == 0 or len(chosen) < _FEWEST:
        return Guess("tournier07", False, f"{len(chosen)} voxels have a direction, too few to tell a basis")
    harmonics = even_harmonics(half_sphere(_GRID), degree)
    found = {basis: _asymmetry(change_basis(chosen, basis, "mrtrix3"), harmonics, degree) for basis in DIPY_BASES}
    means = {basis: float(np.sort(each)[: len(each) // 4].mean()) for basis, each in found.items()}
    best = min(means, key=lambda basis: means[basis])
    leads = {basis: _lead(found[best], found[basis]) for basis in DIPY_BASES if basis != best}
    words = ""
    if {best} | {basis for basis, lead in leads.items() if lead < _CLEAR} == set(_ALIKE):
        best = _ALIKE[0]
        leads.pop(_ALIKE[1], None)
        leads.pop(best, None)
        words = f"; {_ALIKE[1]}, which MRtrix 0.2 wrote, is as likely by the numbers but out of use"
    rival = min(leads, key=lambda basis: leads[basis])
    words = (
        f"single fibres are asymmetric by {means[best]:.3f} in {best} and by {means[rival]:.3f} in {rival}, "
        f"{leads[rival]:.1f} standard errors apart{words}"
    )
    return Guess(best, means[best] <= _PLAUSIBLE and leads[rival] >= _CLEAR, words)


def guess_axes(
    directions: Float[np.ndarray, "x y z 3"],
    weights: Float[np.ndarray, "x y z"],
    affine: Float[np.ndarray, "4 4"],
) -> Guess:
    """Return whether the main directions of voxels are told along scanner or voxel axes.

    With e the direction of voxel i turned into image axes by either telling, n its weight, and a(q) = Σ_j w_j n_j
    (e_i·e_j)ᵖ the fibres of its direction at a place q by trilinear interpolation, compared is

        C = Σ_i n_i Σ_s a(x_i ± s e) / Σ_i n_i Σ_s 1,    s = 1, 2, 3, 4 voxels (the smallest edge):

    how much of the same fibre is found further along. It is the idea of `gradient_coherence` with longer strides, which
    tell small turns of the grid. p = 2 suits fibres that bend; p = 16 the fans of a brain, which is as good as
    symmetric: there a fibre keeps its direction, while what lies beside it turns away. The clearer of the two counts,
    unless the other contradicts. Standard errors come from leaving out blocks of 4³ voxels (jackknife). Sure where the
    two tellings are the same, up to the sign of all axes.

    directions: unit vectors as told. weights: how much each counts, on any scale; 0 where there is none. affine: voxel
    index → scanner RAS mm.
    """
    to_scanner = grid_rotation(affine)
    if axes_are_same(affine):
        return Guess("scanner", True, "scanner and voxel axes are the same on this grid")
    turns: dict[Axes, Float[np.ndarray, "3 3"]] = {"scanner": to_scanner.T, "voxel": np.eye(3)}
    shares = weights / max(float(weights.max()), 1e-30)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if not (shares > 0).any():
        return Guess("scanner", False, "no voxel has a direction, so axes cannot be told")
    found = [_found_along(directions, shares, turn / (sizes[:, None] / sizes.min())) for turn in turns.values()]
    totals = np.stack([each[1] for each in found], axis=1)
    leads = []
    for power in range(len(_POWERS)):
        sums = np.stack([each[0][power] for each in found], axis=1)
        scores = sums.sum(axis=0) / totals.sum(axis=0)
        best = int(scores.argmax())
        leads.append((lead_in_standard_errors(sums, totals, best, 1 - best), best, scores))
    (certainty, best, scores), (other_certainty, other, _) = sorted(leads, key=lambda lead: -lead[0])
    names = list(turns)
    clear = scores[best] >= (1 + _LEAD) * scores[1 - best] and certainty >= _CERTAINTY
    return Guess(
        names[best],
        bool(clear and (other == best or other_certainty < _CERTAINTY / 2)),
        f"fibres lead into their like by {scores[best]:.3f} along {names[best]} axes and by {scores[1 - best]:.3f} "
        f"along {names[1 - best]} axes, {certainty:.1f} standard errors apart",
    )


def axes_are_same(affine: Float[np.ndarray, "4 4"]) -> bool:
    """Return whether fibres are told alike along scanner and voxel axes: up to the sign of all."""
    to_scanner = grid_rotation(affine)
    return bool(min(np.abs(to_scanner - sign * np.eye(3)).max() for sign in (1, -1)) < _SAME)


def _found_along(
    directions: Float[np.ndarray, "x y z 3"], weights: Float[np.ndarray, "x y z"], turn: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, "power block"], Float[np.ndarray, " block"]]:
    """Return numerator (for each p) and denominator of C in blocks of voxels; turn @ direction: a stride, in voxels."""
    places = np.argwhere(weights > 0)
    own, share = directions[tuple(places.T)], weights[tuple(places.T)]
    found = np.zeros((len(_POWERS), len(places)))
    for stride in (*_STRIDES, *(-s for s in _STRIDES)):
        reached = places + stride * (own @ turn.T)
        low = np.floor(reached).astype(np.int64)
        for corner in np.ndindex(2, 2, 2):
            at = low + corner
            within = ((at >= 0) & (at < weights.shape)).all(axis=1)
            index = tuple(np.where(within[:, None], at, 0).T)
            near = np.prod(1 - np.abs(reached - at), axis=1) * within * weights[index]
            alike = np.sum(own * directions[index], axis=1)
            for row, power in zip(found, _POWERS, strict=True):
                row += near * alike**power
    grid = tuple(-(-size // _BLOCK) for size in weights.shape)
    block = np.ravel_multi_index(tuple((places // _BLOCK).T), grid)
    count = int(np.prod(grid))
    sums = np.stack([np.bincount(block, share * row, count) for row in found])
    return sums, np.bincount(block, 2 * len(_STRIDES) * share, count)


def _asymmetry(
    coefficients: Float[np.ndarray, "voxel coeff"], harmonics: Float[np.ndarray, "direction coeff"], degree: int
) -> Float[np.ndarray, " voxel"]:
    """Return the share of each function's power that is not symmetric about its highest direction."""
    highest = harmonics[(coefficients @ harmonics.T).argmax(axis=1)]
    order = coefficient_degrees(degree)
    along, whole = np.zeros(len(coefficients)), np.zeros(len(coefficients))
    for l in range(2, degree + 1, 2):
        own = order == l
        along += np.sum(coefficients[:, own] * highest[:, own], axis=1) ** 2 * (4 * np.pi / (2 * l + 1))
        whole += np.sum(coefficients[:, own] ** 2, axis=1)
    return 1 - along / whole


def _lead(best: Float[np.ndarray, " voxel"], rival: Float[np.ndarray, " voxel"]) -> float:
    """Return by how many standard errors `rival` is more asymmetric, in the voxels of one fibre by either."""
    smaller = np.minimum(best, rival)
    difference = (rival - best)[smaller <= np.quantile(smaller, 0.25)]
    return float(difference.mean() / (difference.std() + _ROUNDING) * np.sqrt(len(difference)))
