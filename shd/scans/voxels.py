"""The voxels of a scan as a network for raw scans takes them: their sizes, and whether the axes are right-handed."""

from dataclasses import dataclass

import numpy as np

from shd.errors import ScanError
from shd.scans.scan import Scan

__all__ = ["Voxels", "voxels_of"]

_SAME_SIZE = 0.1  # share of a size: the lengths of the other edges, or of another scan's, that count as the same


@dataclass(frozen=True)
class Voxels:
    """sizes: mm along the image's axes. right_handed: whether these axes are, seen in scanner RAS (affine's sign)."""

    sizes: tuple[float, float, float]
    right_handed: bool

    @property
    def cubic(self) -> bool:
        """Whether the longest edge is at most 10 % longer than the shortest."""
        return max(self.sizes) <= (1.0 + _SAME_SIZE) * min(self.sizes)

    def check(self, other: "Voxels", name: str) -> None:
        """Raise ScanError where another scan's voxels are no input for a network that learned from these.

        That is, where an edge differs by more than 10 %, or the axes have the other handedness, as if seen in a mirror.
        name: of the other scan.
        """
        if other.right_handed != self.right_handed:
            given, wanted = _handedness(other), _handedness(self)
            raise ScanError(
                f"{name}: stored along {given} axes, the network's scans along {wanted} ones, so it would see a mirror "
                f"image; store image and gradients along {wanted} axes (mrconvert -strides "
                f"{'1' if self.right_handed else '-1'},2,3,4 -fslgrad … -export_grad_fsl …)"
            )
        differences = np.abs(np.subtract(other.sizes, self.sizes))
        if (differences > _SAME_SIZE * np.array(self.sizes)).any():
            raise ScanError(
                f"{name}: voxels of {other} instead of the network's {self}; regrid the scan (mrgrid … regrid -voxel "
                f"{','.join(f'{size:.4g}' for size in self.sizes)})"
            )

    def __str__(self) -> str:
        """Sizes for messages, 2 × 2 × 2.5 mm."""
        return f"{' × '.join(f'{size:.3g}' for size in self.sizes)} mm"


def voxels_of(scan: Scan) -> Voxels:
    """Return what the affine of a scan says of its voxels."""
    x, y, z = map(float, scan.voxel_sizes)
    return Voxels((x, y, z), bool(np.linalg.det(scan.affine[:3, :3]) > 0))


def _handedness(voxels: Voxels) -> str:
    return "right-handed" if voxels.right_handed else "left-handed"
