"""The labelled scans of a training: read once, checked against each other, and kept as a network takes them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from shd.errors import ScanError, ShdError, ShdWarning
from shd.io.labels import read_labels
from shd.io.subjects import Subject
from shd.scans.coherence import checked_directions
from shd.scans.q_table import QSignal, QTable, q_signal
from shd.training.losses.segmentation import IGNORED
from shd.training.segmentation_patches import LabelledSignal

__all__ = ["LabelledStudy", "read_study"]

_SLAB = 16  # voxels along x that are read at a time
_OUTSIDE = -1  # in place of a label


@dataclass(frozen=True, eq=False)
class LabelledStudy:
    """Scans at the points of one q-table. labels: their values in the images, the background 0 first."""

    table: QTable
    labels: tuple[int, ...]
    learned: tuple[LabelledSignal, ...]
    held_out: tuple[LabelledSignal, ...]


def read_study(
    subjects: Sequence[Subject],
    held_out: frozenset[int],
    folder: Path,
    *,
    labels: Sequence[int] | None = None,
    resample: bool = False,
    ignore_bad_voxels: bool = False,
    on_subject: Callable[[float], None] = lambda done: None,
) -> LabelledStudy:
    """Return the subjects' scans and labels; `held_out` lists the places of those not learned from.

    folder: for signals and labels, which are memory-mapped, so that any number of scans fits into memory. labels:
    values to learn; by default all that occur in scans learned from. The q-table and voxels are those of the first
    subject; see `q_signal` for `resample`. Raises what reading raises, GradientError for other q-tables, ScanError for
    other voxels, or where a subject has no label image, holds a value that is not among the labels, or a label occurs
    in no scan that is learned from.
    """
    table: QTable | None = None
    read, counts = [], []
    for number, subject in enumerate(subjects):
        if subject.label is None:
            raise ScanError(
                f"{subject.name}: no label image; give the list of subjects a column `label`, filled for all"
            )
        try:
            scan, _ = subject.read(ignore_bad_voxels)
            checked_directions(scan, subject.name)
            signal = q_signal(scan, table, resample)
        except ShdError as error:  # files of many scans have one name
            raise type(error)(f"{subject.name}: {error}") from error
        table = signal.table if table is None else table
        image = read_labels(subject.label, f"the scan {scan.name}", scan.shape, scan.affine)
        _warn_outside(subject.name, image, scan.mask)
        box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(scan.mask))
        values = folder / f"{number}-values.npy"
        np.save(values, np.where(scan.mask, image, _OUTSIDE)[box])
        read.append((subject.name, _stored(signal, box, folder / f"{number}.npy"), values))
        occurring, sizes = np.unique(image[scan.mask], return_counts=True)
        counts.append(dict(zip(occurring.tolist(), sizes.tolist(), strict=True)))
        on_subject((number + 1) / len(subjects))
    chosen = _labels(subjects, counts, held_out, labels)
    ready = [LabelledSignal(name, stored, _placed(values, chosen)) for name, stored, values in read]
    parts = ([s for k, s in enumerate(ready) if (k in held_out) == wanted] for wanted in (False, True))
    learned, kept = (tuple(part) for part in parts)
    assert table is not None  # a list of subjects is not empty
    return LabelledStudy(table, chosen, learned, kept)


def _stored(signal: QSignal, box: tuple[slice, ...], path: Path) -> np.ndarray:
    """Write the signals of a box as a file and return it mapped into memory, read only."""
    x, y, z = box
    shape = (len(signal.weights), x.stop - x.start, y.stop - y.start, z.stop - z.start)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for first in range(x.start, x.stop, _SLAB):
        last = min(first + _SLAB, x.stop)
        slab = signal.block((first, y.start, z.start), (last, y.stop, z.stop))
        file[:, first - x.start : last - x.start] = slab
    file.flush()
    return np.load(path, mmap_mode="r")


def _placed(path: Path, chosen: Sequence[int]) -> np.ndarray:
    """Replace the values in a file by their places among those chosen; return it mapped into memory, read only."""
    values = np.load(path)
    places = np.searchsorted(chosen, values).astype(np.uint8)
    places[values == _OUTSIDE] = IGNORED
    np.save(path, places)
    return np.load(path, mmap_mode="r")


def _warn_outside(name: str, image: Int[np.ndarray, "x y z"], mask: np.ndarray) -> None:
    outside, total = int((image[~mask] > 0).sum()), int((image > 0).sum())
    if outside:
        warnings.warn(
            f"{name}: {outside} of {total} labelled voxels lie outside the mask and are not used", ShdWarning,
            stacklevel=3,
        )  # fmt: skip


def _labels(
    subjects: Sequence[Subject],
    counts: Sequence[dict[int, int]],
    held_out: frozenset[int],
    given: Sequence[int] | None,
) -> tuple[int, ...]:
    """Return the labels learned, the background first; see `read_study` for what is refused."""
    occurring = {value for k, count in enumerate(counts) if k not in held_out for value in count if value}
    chosen = tuple(sorted({0, *(occurring if given is None else given)}))
    if len(chosen) < 2:
        raise ScanError(
            f"0 labels above 0 in the {len(counts) - len(held_out)} label images that are learned from (inside the "
            "masks); check the label images and masks"
        )
    missing = [value for value in chosen if value and value not in occurring]
    if missing:
        raise ScanError(
            f"label {missing[0]} occurs in 0 of the {len(counts) - len(held_out)} scans learned from (there are "
            f"{', '.join(map(str, sorted(occurring))) or 'none'}); leave it out, or add scans with it"
        )
    for subject, count in zip(subjects, counts, strict=True):
        foreign = sorted(set(count) - set(chosen))
        if foreign:
            raise ScanError(
                f"{subject.name}: {count[foreign[0]]} voxels of label {foreign[0]}, which is not among those learned "
                f"({', '.join(map(str, chosen))}); name it in --labels, or set it to 0"
            )
    return chosen
