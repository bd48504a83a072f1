"""Which scans a network for raw scans takes: weightings along the image's axes, voxels; and a scan brought to them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd.errors import GradientError
from shd.scans.scan import Scan
from shd.scans.voxels import Voxels, voxels_of
from shd.signal.gradients import Gradients, axis_count, gradient_table
from shd.sphere.directions import axial_angle
from shd.sphere.harmonics import even_harmonics, harmonic_fit_matrix, highest_degree_for

__all__ = ["Points", "QSignal", "QTable", "interpolation", "q_signal", "q_table"]

Corner = tuple[int, int, int]

_SAME_B, _SAME_ANGLE = 0.05, 2.0  # share of b, degrees: scanners round, and tables are corrected for motion
_SAME_SHELL = 0.1  # share of b: the signal along a fibre differs by a sixth at b = 1000
_RESAMPLED_DEGREE = 8
_SPARE = 1.3  # directions for each coefficient of a shell that is resampled: fewer would amplify the noise


@dataclass(frozen=True, eq=False)
class QTable:
    """The q-space points of a scan: the mean of its b=0 volumes first, then its weighted volumes in their order.

    bvalues: s/mm², the first 0. directions: unit vectors along the image's axes, the first zero. voxels: between which
    these axes lead.
    """

    bvalues: Float[np.ndarray, " q"]
    directions: Float[np.ndarray, "q 3"]
    voxels: Voxels

    def difference(self, other: "QTable") -> str | None:
        """Say in what another table's weightings differ, or return None; opposite directions are one axis."""
        if len(other.bvalues) != len(self.bvalues):
            return f"{len(other.bvalues) - 1} weighted volumes instead of {len(self.bvalues) - 1}"
        b, angle = np.abs(other.bvalues - self.bvalues), axial_angle(self.directions, other.directions)[1:]
        worst = int(np.argmax(b - _SAME_B * self.bvalues))
        if b[worst] > _SAME_B * self.bvalues[worst]:
            return f"b = {other.bvalues[worst]:.0f} instead of {self.bvalues[worst]:.0f} s/mm² (volume {worst})"
        if angle.max() > _SAME_ANGLE:
            return (
                f"directions up to {angle.max():.0f}° apart along the image's axes (volume {int(angle.argmax()) + 1})"
            )
        return None

    def gradients(self) -> Gradients:
        """Return the table as gradients, whose "scanner" axes are the image's, clustered into shells."""
        return gradient_table(self.bvalues, self.directions)


def q_table(scan: Scan) -> QTable:
    """Return the q-space points of a scan along its image axes."""
    table = scan.gradients
    weighted = _weighted(table)
    directions = table.directions[weighted] @ scan.rotation
    bvalues = np.concatenate([[0.0], table.bvalues[weighted]])
    return QTable(bvalues, np.vstack([np.zeros(3), directions]), voxels_of(scan))


@runtime_checkable
class Points(Protocol):
    """What a network for raw scans reads, box by box."""

    @property
    def mask(self) -> Bool[np.ndarray, "x y z"]:
        """Which voxels are asked for; the others are zero."""

    def block(self, start: Corner, stop: Corner) -> Float32[np.ndarray, "q x y z"]:
        """Return the points of the box start ≤ index < stop (inside the volume)."""


@dataclass(frozen=True, eq=False)
class QSignal:
    """A scan at the points of a q-table, divided by the mean of its b=0 volumes over the mask.

    weights: what each volume of the scan adds to each point: means of b=0, single volumes, or interpolation. scale:
    that mean, so that the contrast between tissues at b=0 is kept. table: of the points.
    """

    scan: Scan
    table: QTable
    weights: Float32[np.ndarray, "q volume"]
    scale: float

    @property
    def mask(self) -> Bool[np.ndarray, "x y z"]:
        """The scan's mask."""
        return self.scan.mask

    def block(self, start: Corner, stop: Corner) -> Float32[np.ndarray, "q x y z"]:
        """Return the points of the box start ≤ index < stop (inside the volume); zero outside the mask."""
        inside = self.mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        points = np.zeros((len(self.weights), *inside.shape), dtype=np.float32)
        points[:, inside] = self.weights @ self.scan.block(start, stop)[inside].T / np.float32(self.scale)
        return points


def q_signal(scan: Scan, table: QTable | None = None, resample: bool = False) -> QSignal:
    """Return the scan at the points of a table, by default its own.

    resample: bring shells of other directions to the table's: even harmonics are fitted to each shell's signal by least
    squares, and evaluated at the table's directions, all along the image's axes; exact for signals without higher
    degrees (as many as the directions allow, at most 8). Raises GradientError where the table differs, without
    `resample`, or where the scan has not the table's shells; ScanError for other voxels (`Voxels.check`), which
    resampling does not change.
    """
    own = q_table(scan)
    if table is not None:
        table.voxels.check(own.voxels, scan.name)
    wrong = table.difference(own) if table is not None else None
    weights = np.zeros((len(own.bvalues), len(scan.gradients.bvalues)))
    weights[0, scan.gradients.b0_volumes] = 1.0 / len(scan.gradients.b0_volumes)
    weights[np.arange(1, len(own.bvalues)), _weighted(scan.gradients)] = 1.0
    if wrong is not None and table is not None:
        if not resample:
            raise GradientError(
                f"{scan.name}: another q-table than the network's: {wrong}; give --resample to bring its shells to "
                "the network's directions"
            )
        weights = interpolation(own, table, scan.name) @ weights
    b0 = [scan.data[..., volume][scan.mask].mean(dtype=np.float64) for volume in scan.gradients.b0_volumes]
    return QSignal(scan, own if table is None else table, weights.astype(np.float32), float(np.mean(b0)))


def _weighted(gradients: Gradients) -> np.ndarray:
    return np.setdiff1d(np.arange(len(gradients.bvalues)), gradients.b0_volumes)


def interpolation(own: QTable, table: QTable, name: str = "scan") -> Float[np.ndarray, "q own_q"]:
    """Return what each point of a scan's own table adds to each point of another, as `q_signal` says.

    Raises GradientError, naming the scan, where it has not the other table's shells.
    """
    matrix = np.zeros((len(table.bvalues), len(own.bvalues)))
    matrix[0, 0] = 1.0
    given = own.gradients().weighted_shells
    for shell in table.gradients().weighted_shells:
        nearest = min(given, key=lambda each: abs(each.bvalue - shell.bvalue))
        if abs(nearest.bvalue - shell.bvalue) > _SAME_SHELL * shell.bvalue:
            raise GradientError(
                f"{name}: no shell near the network's b = {shell.bvalue:.0f} s/mm² (the nearest is "
                f"{nearest.bvalue:.0f}); resampling changes directions, not b-values: use scans with this shell"
            )
        sources = own.directions[nearest.volumes]
        degree = highest_degree_for(int(axis_count(sources) / _SPARE), _RESAMPLED_DEGREE)
        fit = harmonic_fit_matrix(sources, degree)
        targets = even_harmonics(table.directions[shell.volumes], degree)
        matrix[np.ix_(shell.volumes, nearest.volumes)] = targets @ fit
    return matrix
