"""How each volume was diffusion-weighted: b-values, directions in scanner axes, and the shells they form."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Integer, Real

from shd.errors import GradientError, ShdWarning
from shd.sphere.directions import normalised

__all__ = ["MINIMUM_DIRECTIONS", "Gradients", "Shell", "axis_count", "gradient_table"]

# Unknowns of a tensor, or of even harmonics of degree 2: fewer axes cannot tell a direction from a size.
MINIMUM_DIRECTIONS = 6
# Shells that are merged for want of directions stay within this ratio of b: at 1.4 the signal along a fibre
# (1.7e-3 mm²/s, b near 1000) differs by half, about what a sphere of an unshelled grid costs.
_WIDEST_MERGE = 1.4
# MRtrix3 scales b by |g|² only where |g|² differs from one by more than this (core/dwi/gradient.cpp).
_UNIT_NORM_TOLERANCE = 0.01
_HIGHEST = 1e5  # s/mm²: beyond that no tissue gives a signal


@dataclass(frozen=True, eq=False)
class Shell:
    """Volumes that share a b-value: its mean (s/mm²) and their indices in the scan."""

    bvalue: float
    volumes: Int[np.ndarray, " volume"]


@dataclass(frozen=True, eq=False)
class Gradients:
    """The gradient table of a scan; `gradient_table` makes one from raw numbers.

    bvalues: s/mm², one a volume. directions: unit vectors in scanner (RAS mm) axes, zero for b=0 volumes.
    shells: ascending in b; the first is b=0. Every volume is in exactly one shell.
    """

    bvalues: Float[np.ndarray, " volume"]
    directions: Float[np.ndarray, "volume 3"]
    shells: tuple[Shell, ...]

    def __post_init__(self) -> None:
        members = np.sort(np.concatenate([shell.volumes for shell in self.shells]))
        if not np.array_equal(members, np.arange(len(self.bvalues))):
            raise GradientError(
                f"{len(members)} volumes listed in shells but {len(self.bvalues)} b-values; "
                "each volume belongs to exactly one shell (use gradient_table)"
            )

    @property
    def b0_volumes(self) -> Int[np.ndarray, " volume"]:
        """Indices of the volumes without diffusion weighting."""
        return self.shells[0].volumes

    @property
    def weighted_shells(self) -> tuple[Shell, ...]:
        """The shells above b=0, ascending."""
        return self.shells[1:]

    def shell_directions(self, shell: Shell) -> Float[np.ndarray, "volume 3"]:
        """Return the directions (scanner axes) of one shell's volumes, in their order."""
        return self.directions[shell.volumes]

    def select(self, volumes: Integer[np.ndarray, " kept"]) -> "Gradients":
        """Return the table of the volumes listed, in that order; shells left empty disappear."""
        position = np.full(len(self.bvalues), -1)
        position[volumes] = np.arange(len(volumes))
        kept = [np.sort(position[shell.volumes][position[shell.volumes] >= 0]) for shell in self.shells]
        if len(kept[0]) == 0:
            raise GradientError(f"0 of {len(self.b0_volumes)} b=0 volumes kept; at least 1 is needed")
        bvalues = self.bvalues[volumes]
        return Gradients(bvalues, self.directions[volumes], _shells(kept, bvalues))


def gradient_table(
    bvalues: Real[np.ndarray, " value"],
    vectors_scanner: Real[np.ndarray, "vector 3"],
    *,
    b0_threshold: float = 50.0,
    tolerance: float = 80.0,
) -> Gradients:
    """Return the checked gradient table of raw b-values and scanner-axes vectors, clustered into shells.

    Rules, in order.
    1. A vector that is zero or NaN makes its volume b=0 (a warning says so where its b was above the threshold).
    2. Where any |g|² is off one by more than 1 %, every b is multiplied by its |g|², as MRtrix3 does.
    3. b ≤ `b0_threshold` is b=0. If there is none, volumes of the lowest b are taken, with a warning, if that is
       at most twice the threshold (7 T scans whose "b0" is 60 to 75).
    4. The other b-values are sorted and cut wherever neighbours differ by more than `tolerance`: 1495/1500/1505
       is one shell, 700/1200/2800 three. This is MRtrix3's default width (BValueEpsilon) too.
    5. A shell of fewer than 6 axes (a grid as in DSI) is merged, smallest first, with the neighbour nearest in b
       as long as the result spans at most a factor 1.4 in b; a warning gives the shells that come out.

    bvalues: s/mm². vectors_scanner: scanner (RAS mm) axes, any length. Raises `GradientError` if the counts differ,
    a b-value is negative or not a number, all are in another unit, no volume is b=0, or no volume has a direction.

    Example: `gradient_table(np.array([0.0, 995.0, 1005.0]), np.eye(3)).shells[1].bvalue` is 1000.
    """
    if len(bvalues) != len(vectors_scanner):
        raise GradientError(
            f"{len(bvalues)} b-values but {len(vectors_scanner)} gradient directions; is the b=0 row in both?"
        )
    values, directions = _scaled(bvalues.astype(np.float64), vectors_scanner.astype(np.float64), b0_threshold)
    _check_unit(values, b0_threshold)
    unweighted = _unweighted(values, b0_threshold)
    directions[unweighted] = 0.0
    weighted = np.flatnonzero(~unweighted)
    ascending = weighted[np.argsort(values[weighted], kind="stable")]
    clusters = np.split(ascending, np.flatnonzero(np.diff(values[ascending]) > tolerance) + 1)
    merged = _merge_sparse(clusters, values, directions)
    return Gradients(values, directions, _shells([np.flatnonzero(unweighted), *merged], values))


def axis_count(directions: Float[np.ndarray, "volume 3"]) -> int:
    """Return how many different axes the unit vectors have (closer than 1° is the same)."""
    same = np.abs(directions @ directions.T) > np.cos(np.deg2rad(1.0))
    distinct: list[int] = []
    for index in range(len(directions)):
        if not same[index, distinct].any():
            distinct.append(index)
    return len(distinct)


def _scaled(
    bvalues: Float[np.ndarray, " volume"], vectors: Float[np.ndarray, "volume 3"], b0_threshold: float
) -> tuple[Float[np.ndarray, " volume"], Float[np.ndarray, "volume 3"]]:
    """Return b-values times |g|² where that matters, and unit directions; rows without direction become b=0."""
    vectors = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0.0)
    squared = np.sum(vectors**2, axis=1)
    absent = squared == 0.0
    invalid = ~absent & ~(np.isfinite(bvalues) & (bvalues >= 0.0))
    if invalid.any():
        first = np.flatnonzero(invalid)[0]
        raise GradientError(
            f"{invalid.sum()} of {len(bvalues)} b-values are negative or not a number "
            f"(volume {first}: {bvalues[first]}); correct them, or give NaN directions to mark b=0"
        )
    if absent.all():
        raise GradientError(
            f"0 of {len(bvalues)} volumes have a gradient direction (all are zero or NaN); is this the right "
            "bvec file?"
        )
    silenced = absent & (bvalues > b0_threshold)
    if silenced.any():
        warnings.warn(
            f"{silenced.sum()} of {len(bvalues)} volumes have b up to {bvalues[silenced].max():g} s/mm² but no "
            "direction; they are used as b=0. If they are trace-weighted images, remove them from the scan",
            ShdWarning,
            stacklevel=3,
        )
    bvalues = np.where(absent, 0.0, bvalues)
    weighted = bvalues > b0_threshold
    if np.any(np.abs(np.log(squared[weighted])) > _UNIT_NORM_TOLERANCE):
        warnings.warn(
            f"gradient vectors have lengths {np.sqrt(squared[weighted].min()):.3g} to "
            f"{np.sqrt(squared[weighted].max()):.3g}, not 1: each b-value was multiplied by its squared length "
            f"(now up to {np.max(bvalues * squared):.0f} s/mm²), as MRtrix3 does. Normalise the vectors to "
            "avoid this",
            ShdWarning,
            stacklevel=3,
        )
        bvalues = bvalues * squared
    return bvalues, normalised(vectors)


def _check_unit(bvalues: Float[np.ndarray, " volume"], b0_threshold: float) -> None:
    """Raise GradientError where no b-value is above b=0, or all of those above are beyond any scanner's."""
    highest, weighted = float(bvalues.max()), bvalues[bvalues > b0_threshold]
    if len(weighted) == 0:
        guess = "are they in ms/µm²? Multiply by 1000" if highest > 0 else "is this the diffusion scan's table?"
        raise GradientError(
            f"0 of {len(bvalues)} volumes are diffusion-weighted: the highest b-value is {highest:g} s/mm², "
            f"b=0 is up to {b0_threshold:g}; {guess}"
        )
    if weighted.min() > _HIGHEST:
        raise GradientError(
            f"{len(weighted)} of {len(bvalues)} b-values are {weighted.min():g} to {highest:g} s/mm², and no scan has "
            f"more than {_HIGHEST:g}; are they in s/m²? Divide by 10⁶"
        )


def _unweighted(bvalues: Float[np.ndarray, " volume"], b0_threshold: float) -> np.ndarray:
    """Return which volumes are b=0 (rule 3 of `gradient_table`)."""
    lowest = bvalues.min()
    if lowest <= b0_threshold:
        return bvalues <= b0_threshold
    if lowest > 2.0 * b0_threshold:
        raise GradientError(
            f"no b=0 volume: the lowest of {len(bvalues)} b-values is {lowest:g} s/mm² and b=0 is up to "
            f"{b0_threshold:g}; add the b=0 volumes to the scan"
        )
    taken = bvalues <= 2.0 * b0_threshold
    warnings.warn(
        f"no b-value is below {b0_threshold:g} s/mm²: the {taken.sum()} volumes of {lowest:g} to "
        f"{bvalues[taken].max():g} s/mm² are used as b=0",
        ShdWarning,
        stacklevel=3,
    )
    return taken


def _merge_sparse(
    clusters: Sequence[np.ndarray], bvalues: Float[np.ndarray, " volume"], directions: Float[np.ndarray, "volume 3"]
) -> list[np.ndarray]:
    """Return the clusters after rule 5 of `gradient_table`; `clusters` ascend in b."""
    merged = [(cluster, axis_count(directions[cluster])) for cluster in clusters]
    settled = False
    while not settled:
        settled = True
        for index in sorted(range(len(merged)), key=lambda i: merged[i][1]):
            partner = _nearest_in_reach(index, [bvalues[cluster] for cluster, _ in merged])
            if merged[index][1] < MINIMUM_DIRECTIONS and partner is not None:
                low = min(index, partner)
                union = np.concatenate([merged[low][0], merged[low + 1][0]])
                merged[low : low + 2] = [(union, axis_count(directions[union]))]
                settled = False
                break
    if len(merged) < len(clusters):
        means = ", ".join(f"{bvalues[cluster].mean():.0f} ({len(cluster)})" for cluster, _ in merged)
        warnings.warn(
            f"{len(clusters)} b-values were too finely spread for shells of {MINIMUM_DIRECTIONS} directions; "
            f"neighbours were merged into {len(merged)}: b = {means} s/mm² (volumes). A shelled protocol gives "
            "more accurate responses",
            ShdWarning,
            stacklevel=3,
        )
    return [cluster for cluster, _ in merged]


def _nearest_in_reach(index: int, values: Sequence[np.ndarray]) -> int | None:
    """Return the neighbouring cluster nearest in b that may join cluster `index`, if any."""
    spans = {}
    for neighbour in (index - 1, index + 1):
        if 0 <= neighbour < len(values):
            both = np.concatenate([values[index], values[neighbour]])
            if both.max() <= _WIDEST_MERGE * both.min():
                spans[neighbour] = both.max() / both.min()
    return min(spans, key=lambda neighbour: spans[neighbour]) if spans else None


def _shells(groups: Sequence[np.ndarray], bvalues: Float[np.ndarray, " volume"]) -> tuple[Shell, ...]:
    """Return a `Shell` for each group of volumes that is not empty, volumes in scan order."""
    return tuple(Shell(float(bvalues[group].mean()), np.sort(group)) for group in groups if len(group))
