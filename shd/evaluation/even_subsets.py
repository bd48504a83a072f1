"""Gradient directions dealt out into subsets, each of which covers the sphere evenly on every shell."""

import numpy as np
from jaxtyping import Float, Int

from shd.errors import EvaluationError, number_of
from shd.signal.gradients import MINIMUM_DIRECTIONS, Gradients, axis_count

__all__ = ["check_remaining", "even_subsets", "subset_energy"]

_CLOSEST = 1e-3  # chord between axes that count as the same: they repel, but not without end


def even_subsets(gradients: Gradients, count: int) -> tuple[Int[np.ndarray, " volume"], ...]:
    """Return `count` sets of diffusion-weighted volumes that share out every shell, sizes differing by at most one.

    Each shell is dealt out one direction at a time to the subset that repels it least, then pairs are swapped as long
    as that lowers the summed electrostatic energy of the subsets (the energy of Jones et al., Magn. Reson. Med. 42
    (1999), minimised over subsets as by Cook et al., J. Magn. Reson. Imaging 25 (2007)). The same table gives the same
    subsets. b=0 volumes are in none.

    Raises EvaluationError for fewer than two subsets or a shell with fewer directions than subsets.
    """
    if count < 2:
        raise EvaluationError(f"{number_of(count, 'part')}: directions are dealt out into at least 2")
    parts: list[list[np.ndarray]] = [[] for _ in range(count)]
    for number, shell in enumerate(gradients.weighted_shells):
        if len(shell.volumes) < count:
            raise EvaluationError(
                f"shell b={shell.bvalue:.0f} has {len(shell.volumes)} directions, too few for {count} parts; "
                "ask for fewer"
            )
        labels = _dealt(_repulsion(gradients.shell_directions(shell)), count)
        for label in range(count):
            # each shell begins with another subset, or the first one would collect every odd direction
            parts[(label + number) % count].append(shell.volumes[labels == label])
    return tuple(np.sort(np.concatenate(part)) for part in parts)


def check_remaining(gradients: Gradients, kept: Int[np.ndarray, " volume"]) -> None:
    """Raise EvaluationError where a shell keeps too few axes among the volumes `kept` to show a fibre."""
    for shell in gradients.weighted_shells:
        left = axis_count(gradients.directions[np.intersect1d(shell.volumes, kept)])
        if left < MINIMUM_DIRECTIONS:
            raise EvaluationError(
                f"shell b={shell.bvalue:.0f} has {len(shell.volumes)} directions, of which {left} would remain, but "
                f"{MINIMUM_DIRECTIONS} are the fewest that show a fibre; this scan has too few for this evaluation"
            )


def subset_energy(directions: Float[np.ndarray, "direction 3"]) -> float:
    """Return the electrostatic energy of unit charges at the axes and their antipodes."""
    return float(_repulsion(directions).sum() / 2)


def _repulsion(directions: Float[np.ndarray, "direction 3"]) -> Float[np.ndarray, "direction direction"]:
    """Return 1/|u − v| + 1/|u + v| of every pair, zero on the diagonal."""
    cosine = np.clip(directions @ directions.T, -1.0, 1.0)
    energy = sum(1.0 / np.maximum(np.sqrt(np.maximum(2.0 + sign * 2.0 * cosine, 0.0)), _CLOSEST) for sign in (-1, 1))
    np.fill_diagonal(energy, 0.0)
    return np.asarray(energy)


def _dealt(energy: Float[np.ndarray, "direction direction"], count: int) -> Int[np.ndarray, " direction"]:
    """Return the subset of each direction."""
    labels = np.full(len(energy), -1)
    for turn in range(len(energy)):
        free = np.flatnonzero(labels < 0)
        own = labels == turn % count
        labels[free[np.argmin(energy[np.ix_(free, own)].sum(axis=1))]] = turn % count
    while True:
        with_subset = np.stack([energy[:, labels == label].sum(axis=1) for label in range(count)], axis=1)
        moved = with_subset[:, labels]  # row: a direction, column: the subset of the one it is swapped with
        stayed = with_subset[np.arange(len(labels)), labels]
        gain = moved + moved.T - 2 * energy - stayed[:, None] - stayed[None, :]
        gain[labels[:, None] == labels[None, :]] = 0.0
        first, second = np.unravel_index(int(np.argmin(gain)), gain.shape)
        if gain[first, second] > -1e-9:
            return labels
        labels[first], labels[second] = labels[second], labels[first]
