"""Boxes of measured scans, turned, made noisier, coarser, or shown with fewer directions than were measured."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from shd.scans.coherent_estimate import relative_noise
from shd.scans.noise_level import noise_level
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.gradients import MINIMUM_DIRECTIONS, Gradients, axis_count
from shd.signal.noise import add_rician_noise
from shd.signal.response import Response
from shd.sphere.rotations import random_rotation
from shd.training.examples import Example, ExampleTarget

__all__ = ["MeasuredSubjects", "RealExamples", "coarser", "fewer_directions"]

_FACTOR = 2  # of voxels along each axis that become one
_ADDED_NOISE = (0.5, 2.0)  # range of its deviation, over that of the scan's own noise
_SHELL_LEFT_OUT = 0.3  # how often a further shell is not shown at all
_BOXES_TRIED = 20
_LEAST_VOXELS = 8  # of the mask in a box


@runtime_checkable
class MeasuredSubjects(Protocol):
    """Scans with their responses (white matter first) by number, opened when they are asked for."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, number: int) -> tuple[Scan, tuple[Response, ...]]:
        """Return one subject's scan and responses."""
        ...


@dataclass(frozen=True)
class RealExamples:
    """Boxes of side³ voxels around random voxels of the subjects' masks; subjects take turns.

    One scan is open at a time, and only while its box is taken. seed: of the whole series. fewer: how often the network
    is shown a random part of the directions, while the loss is of all. noisier: how often noise is added, to what the
    network is shown alone. coarser: how often 2 × 2 × 2 voxels become one. Every box is turned as a whole, gradients
    with voxels, so that no direction of the scanner is special.
    """

    subjects: MeasuredSubjects
    seed: int = 0
    side: int = 16
    fewer: float = 0.5
    noisier: float = 0.3
    coarser: float = 0.1

    def __getitem__(self, number: int) -> Example:
        """Return one example."""
        generator = np.random.default_rng([self.seed, 7, number])
        scan, responses = self.subjects[number % len(self.subjects)]
        joined = _FACTOR if generator.random() < self.coarser and min(scan.shape) >= 2 * _FACTOR else 1
        box = _random_box(scan, self.side * joined, generator)
        del scan
        whole = _turned(coarser(box) if joined > 1 else box, generator)
        measured = normalise(whole)
        target = ExampleTarget(measured, responses, relative_noise(measured))
        shown = whole
        if generator.random() < self.noisier:
            factor = float(np.exp(generator.uniform(*np.log(_ADDED_NOISE))))
            # noise added to a magnitude as to a complex signal gives what more noise would have given at once
            data = add_rician_noise(whole.data, factor * noise_level(measured), generator)
            shown = replace(shown, data=data)
        if generator.random() < self.fewer:
            shown, responses = fewer_directions(shown, responses, generator)
        if shown is whole:
            return Example(target.scan, target.responses, target.noise)
        seen = normalise(shown)
        return Example(seen, responses, relative_noise(seen), target=target)


def fewer_directions(
    scan: Scan, responses: tuple[Response, ...], generator: np.random.Generator
) -> tuple[Scan, tuple[Response, ...]]:
    """Return the scan with b=0 and a random part of the directions, 6 axes a shell at least, and its responses.

    Sometimes whole shells are left out, never all. How many directions stay is drawn evenly on a logarithmic scale.
    """
    table = scan.gradients
    shells = list(table.weighted_shells)
    sure = int(generator.integers(len(shells)))
    kept_shells = [s for i, s in enumerate(shells) if i == sure or generator.random() >= _SHELL_LEFT_OUT]
    volumes = [table.b0_volumes]
    for shell in kept_shells:
        most = len(shell.volumes)
        count = round(np.exp(generator.uniform(np.log(min(MINIMUM_DIRECTIONS, most)), np.log(most))))
        volumes.append(_some(table, shell.volumes, int(count), generator))
    kept = np.sort(np.concatenate(volumes))
    rows = [0, *(1 + i for i, s in enumerate(shells) if any(s is other for other in kept_shells))]
    gradients = table.select(kept)
    bvalues = np.array([shell.bvalue for shell in gradients.shells])
    chosen = tuple(replace(r, bvalues=bvalues, coefficients=r.coefficients[rows]) for r in responses)
    return replace(scan, data=scan.data[..., kept], gradients=gradients), chosen


def _some(
    table: Gradients, volumes: Int[np.ndarray, " volume"], count: int, generator: np.random.Generator
) -> Int[np.ndarray, " kept"]:
    """Return `count` of a shell's volumes, or more where fewer have not 6 axes."""
    order = generator.permutation(volumes)
    while count < len(order) and axis_count(table.directions[order[:count]]) < MINIMUM_DIRECTIONS:
        count += 1
    return order[:count]


def coarser(scan: Scan) -> Scan:
    """Return the scan with the means of 2 × 2 × 2 voxels; those count that are inside the mask, half of them at least.

    A voxel beyond the last whole block is left out.
    """
    x, y, z = (length // _FACTOR * _FACTOR for length in scan.shape)
    mask = scan.mask[:x, :y, :z]
    inside = _block_sums(mask[..., None].astype(np.float32))
    sums = _block_sums(np.where(mask[..., None], scan.data[:x, :y, :z], 0).astype(np.float32))
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (_FACTOR - 1) / 2)
    affine[:3, :3] *= _FACTOR
    enough = inside[..., 0] >= _FACTOR**3 / 2
    data = sums / np.maximum(inside, 1)
    return replace(scan, data=data, affine=affine, mask=enough if enough.any() else inside[..., 0] > 0)


def _block_sums(data: Float[np.ndarray, "x y z volume"]) -> Float[np.ndarray, "bx by bz volume"]:
    x, y, z, count = data.shape
    f = _FACTOR
    return data.reshape(x // f, f, y // f, f, z // f, f, count).sum(axis=(1, 3, 5))


def _random_box(scan: Scan, side: int, generator: np.random.Generator) -> Scan:
    """Return a box of the scan, in memory, that holds some voxels of the mask."""
    voxels = np.flatnonzero(scan.mask)
    for _ in range(_BOXES_TRIED):
        centre = np.unravel_index(int(voxels[generator.integers(len(voxels))]), scan.mask.shape)
        spans = []
        for place, length in zip(centre, scan.shape, strict=True):
            size = min(side, length)
            first = min(max(int(place) - int(generator.integers(size)), 0), length - size)
            spans.append((first, first + size))
        start, stop = zip(*spans, strict=True)
        mask = scan.mask[tuple(slice(a, b) for a, b in spans)].copy()
        if mask.sum() >= min(_LEAST_VOXELS, len(voxels)):
            break
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array(start)
    return Scan(scan.block(start, stop), affine, scan.gradients, mask, scan.name)


def _turned(scan: Scan, generator: np.random.Generator) -> Scan:
    """Return the scan turned about the scanner's origin: the same measurement in other axes."""
    rotation = random_rotation(generator)
    affine = scan.affine.copy()
    affine[:3] = rotation @ affine[:3]
    table = scan.gradients
    return replace(
        scan, affine=affine, gradients=Gradients(table.bvalues, table.directions @ rotation.T, table.shells)
    )
