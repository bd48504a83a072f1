"""The scans of the study: small heads with lesions, upright or at random orientations, made once and kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shd.fitting.simulate import simulate
from shd.io.gradients import write_fsl
from shd.io.images import write_image
from shd.io.subjects import Subject
from shd.simulation.lesions import LesionPlan
from shd.simulation.protocols import Protocol

__all__ = ["ORIENTATIONS", "TESTED", "TRAINED", "VALIDATED", "Scans"]

ORIENTATIONS = ("rotated", "upright")
TRAINED, VALIDATED, TESTED = 16, 4, 8
"""Scans of each seed to learn from and to validate on, and of all seeds to test on."""

PROTOCOL = Protocol("twelve", 1, ((1000.0, 12),))
SNR, VOXEL_MM, EXTENT_MM, LESIONS = 20.0, 2.5, 90.0, 6
_FIRST_TEST = 90_000


@dataclass(frozen=True)
class Scans:
    """Scans by number in a folder; one that is missing is simulated when it is asked for."""

    folder: Path

    def trained(self, orientation: str, seed: int, count: int) -> list[Subject]:
        """Return the first `count` scans to learn from of a seed."""
        return [self._scan(orientation, self._first(seed) + number) for number in range(count)]

    def validated(self, orientation: str, seed: int) -> list[Subject]:
        """Return the scans to validate on of a seed."""
        return [self._scan(orientation, self._first(seed) + TRAINED + number) for number in range(VALIDATED)]

    def tested(self, orientation: str) -> list[Subject]:
        """Return the scans that nothing is learned from, the same for all seeds."""
        return [self._scan(orientation, _FIRST_TEST + number) for number in range(TESTED)]

    @staticmethod
    def _first(seed: int) -> int:
        return 1000 * (seed + 1)

    def _scan(self, orientation: str, number: int) -> Subject:
        folder = self.folder / f"{orientation}-{number}"
        label = folder / "label.nii.gz"
        if not label.is_file():  # written last
            folder.mkdir(parents=True, exist_ok=True)
            _simulate(folder, label, number, orientation == "rotated")
        names = ("dwi.nii", "dwi.bval", "dwi.bvec", "mask.nii.gz")
        dwi, bval, bvec, mask = (folder / name for name in names)
        return Subject(folder.name, dwi, bval, bvec, mask=mask, label=label)


def _simulate(folder: Path, label: Path, number: int, rotate: bool) -> None:
    phantom = simulate(
        "brain", protocol=PROTOCOL, snr=SNR, seed=number, voxel_mm=VOXEL_MM, extent=EXTENT_MM, subsamples=3,
        lesions=LesionPlan(LESIONS), rotate=rotate,
    )  # fmt: skip
    scan, lesions = phantom.scan, phantom.lesion_fractions
    assert lesions is not None
    write_image(folder / "dwi.nii", np.moveaxis(scan.data, -1, 0), scan.data.shape, scan.affine, {})
    table = scan.gradients
    write_fsl(folder / "dwi.bval", folder / "dwi.bvec", table.bvalues, table.directions, scan.affine)
    write_image(folder / "mask.nii.gz", [scan.mask.astype(np.float32)], scan.shape, scan.affine, {})
    write_image(label, [(lesions >= 0.5).astype(np.int16)], scan.shape, scan.affine, {}, dtype="<i2")
