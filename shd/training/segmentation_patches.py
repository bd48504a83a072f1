"""Boxes of labelled scans to learn from, a stated share of them around labelled voxels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from shd.errors import ScanError
from shd.scans.q_table import QTable, interpolation
from shd.training.losses.segmentation import IGNORED

__all__ = ["LabelledSignal", "Patches", "Turn", "label_frequencies", "turns_of"]


Corner = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class LabelledSignal:
    """A scan at the points of a q-table, over its mean b=0, and the label of each voxel; both may be memory-mapped.

    labels: place of the label among those learned, 0 the background; `IGNORED` outside the mask.
    """

    name: str
    signal: Float32[np.ndarray, "q x y z"]
    labels: UInt8[np.ndarray, "x y z"]

    @property
    def mask(self) -> Bool[np.ndarray, "x y z"]:
        """Which voxels have a label."""
        return np.asarray(self.labels != IGNORED)

    def block(self, start: Corner, stop: Corner) -> Float32[np.ndarray, "q x y z"]:
        """Return the signal of the box start ≤ index < stop."""
        x, y, z = (slice(a, b) for a, b in zip(start, stop, strict=True))
        return np.array(self.signal[:, x, y, z])


def label_frequencies(subjects: Sequence[LabelledSignal], count: int) -> Float[np.ndarray, " label"]:
    """Return the share of each of `count` labels among the voxels in the masks."""
    totals = np.sum([np.bincount(s.labels[s.labels != IGNORED], minlength=count) for s in subjects], axis=0)
    return totals / totals.sum()


class _Places:
    """The voxels of a label, or of all (None), counted by plane: a list would be larger than the labels."""

    def __init__(self, labels: UInt8[np.ndarray, "x y z"], label: int | None = None) -> None:
        self._labels, self._label = labels, label
        self._until = np.cumsum([int(self._wanted(plane).sum()) for plane in labels])

    def __len__(self) -> int:
        return int(self._until[-1])

    def __getitem__(self, number: int) -> int:
        """Return the index in the flattened volume of a voxel by its number, from 0, in the order of these indices."""
        x = int(np.searchsorted(self._until, number, side="right"))
        plane = self._wanted(self._labels[x])
        before = int(self._until[x - 1]) if x else 0
        return x * plane.size + int(np.flatnonzero(plane)[number - before])

    def _wanted(self, plane: UInt8[np.ndarray, "y z"]) -> Bool[np.ndarray, "y z"]:
        return np.asarray(plane != IGNORED if self._label is None else plane == self._label)


@dataclass(frozen=True, eq=False)
class Turn:
    """A rotation of the cube on a box of signals: axes are exchanged and reversed, directions interpolated.

    axes, signs: axis k of the turned box is axis axes[k] of the box, reversed where signs[k] is −1. weights: what each
    point of the q-table adds to each point after the turn.
    """

    axes: tuple[int, int, int]
    signs: tuple[int, int, int]
    weights: Float32[np.ndarray, "q own_q"]

    def signal(self, box: Float32[np.ndarray, "q x y z"]) -> Float32[np.ndarray, "q u v w"]:
        """Return the signals of the turned box."""
        return np.tensordot(self.weights, self.labels(box), axes=1)

    def labels(self, box: np.ndarray) -> np.ndarray:
        """Return an array turned along its last three axes."""
        first = tuple(range(box.ndim - 3))
        turned = box.transpose(*first, *(box.ndim - 3 + axis for axis in self.axes))
        x, y, z = (slice(None, None, sign) for sign in self.signs)
        return turned[..., x, y, z]


def turns_of(table: QTable) -> tuple[Turn, ...]:
    """Return the 24 rotations of the cube for signals of a q-table.

    A scan turned by R has at direction g and place x what it had at R⁻¹g and R⁻¹x: the table's directions are turned
    along, and what is measured along R g_j interpolated to g_i (`shd.scans.q_table.interpolation`). Also where nothing
    turns, so that no rotation can be told by what interpolation takes away. Raises ScanError where an edge of the
    voxels is more than 10 % longer than another, since axes of a grid that are exchanged then stretch the head.
    """
    if not table.voxels.cubic:
        raise ScanError(
            f"voxels of {table.voxels} are no cubes to 10 %, so boxes cannot be turned; give no --turn, or regrid the "
            f"scans (mrgrid … regrid -voxel {max(table.voxels.sizes):.4g})"
        )
    turns = []
    for (x, y, z), u, v, w in product(permutations(range(3)), (1, -1), (1, -1), (1, -1)):
        rotation = np.zeros((3, 3))
        rotation[range(3), (x, y, z)] = u, v, w
        if np.linalg.det(rotation) > 0:
            own = replace(table, directions=table.directions @ rotation.T)
            turns.append(Turn((x, y, z), (u, v, w), interpolation(own, table).astype(np.float32)))
    return tuple(turns)


class Patches:
    """Batches of boxes by number: each is a function of seed and number alone, so the steps done are the place in them.

    side: of the boxes, less where a grid is shorter. labels: how many there are. foreground: share of the boxes around
    a voxel that is not background, of each label as often where a subject has it. noise: deviation of normal noise
    added inside the mask. turns: of which each box takes one.
    """

    def __init__(
        self,
        subjects: Sequence[LabelledSignal],
        side: int,
        labels: int,
        foreground: float,
        seed: int,
        noise: float = 0.0,
        turns: Sequence[Turn] = (),
    ) -> None:
        self.subjects, self.foreground, self.seed, self.noise, self.turns = subjects, foreground, seed, noise, turns
        grid = np.min([subject.labels.shape for subject in subjects], axis=0)
        if turns:
            grid[:] = grid.min()  # a box that is turned fits where it was
        self.shape = tuple(int(min(side, length)) for length in grid)
        self._inside = [_Places(subject.labels) for subject in subjects]
        of_label = [
            [(number, _Places(subject.labels, label)) for number, subject in enumerate(subjects)]
            for label in range(1, labels)
        ]
        held = [[(number, voxels) for number, voxels in each if len(voxels)] for each in of_label]
        self._of_label = [each for each in held if each]

    def batch(self, number: int, size: int) -> tuple[Float[Tensor, "batch q x y z"], Int[Tensor, "batch x y z"]]:
        """Return signals and labels of the `size` boxes of a batch."""
        signals, labels = [], []
        for place in range(size):
            generator = np.random.default_rng([self.seed, number, place])
            subject, voxel = self._voxel(generator)
            box = self._box(subject.labels.shape, voxel, generator)
            x, y, z = box
            signal, label = np.asarray(subject.signal[:, x, y, z]), np.asarray(subject.labels[box])
            if self.turns:
                turn = self.turns[int(generator.integers(len(self.turns)))]
                signal, label = turn.signal(signal), turn.labels(label)
            if self.noise > 0.0:
                noise = generator.standard_normal(signal.shape, dtype=np.float32)
                signal = signal + np.float32(self.noise) * noise * (label != IGNORED)
            signals.append(signal)
            labels.append(label.astype(np.int64))
        return torch.from_numpy(np.stack(signals)), torch.from_numpy(np.stack(labels))

    def _voxel(self, generator: np.random.Generator) -> tuple[LabelledSignal, int]:
        if self._of_label and generator.random() < self.foreground:
            held = self._of_label[generator.integers(len(self._of_label))]
            number, voxels = held[generator.integers(len(held))]
        else:
            number = int(generator.integers(len(self.subjects)))
            voxels = self._inside[number]
        return self.subjects[number], voxels[int(generator.integers(len(voxels)))]

    def _box(self, grid: tuple[int, ...], voxel: int, generator: np.random.Generator) -> tuple[slice, slice, slice]:
        """Return a box of the grid that holds the voxel at a random place."""
        spans = []
        for at, length, limit in zip(np.unravel_index(voxel, grid), self.shape, grid, strict=True):
            start = min(max(int(at) - int(generator.integers(length)), 0), limit - length)
            spans.append(slice(start, start + length))
        return spans[0], spans[1], spans[2]
