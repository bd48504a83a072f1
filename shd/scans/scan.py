"""A preprocessed diffusion scan: the one object every later step takes."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from shd.errors import GradientError, ScanError, ShdWarning, number_of
from shd.scans.volumes import check_finite_volumes
from shd.signal.gradients import MINIMUM_DIRECTIONS, Gradients, axis_count
from shd.sphere.rotations import grid_rotation

__all__ = ["Scan", "check_affine", "finite_voxels", "grid_rotation", "without_sparse_shells"]

_TOGETHER = 4096  # voxels read at a time


@dataclass(frozen=True, eq=False)
class Scan:
    """Diffusion volumes with their gradients, geometry and mask; validated when made, never changed after.

    data: intensities (x, y, z, volume), any real dtype, may be memory-mapped. affine: voxel index → scanner RAS mm.
    gradients: directions in scanner axes. mask: voxels to be fitted. name: for messages and sidecars.

    Voxels of the mask whose mean b=0 intensity is not positive cannot be normalised: they leave the mask, with a
    warning. Raises `ScanError` where counts or shapes differ, the affine is singular, the mask is empty or a voxel
    in it is NaN or infinite (`finite_voxels` gives the mask without those).
    """

    data: Shaped[np.ndarray, "x y z volume"]
    affine: Float[np.ndarray, "4 4"]
    gradients: Gradients
    # Checked against the data in __post_init__, whose message says more than a shape annotation's.
    mask: Bool[np.ndarray, "_ _ _"]
    name: str = "scan"

    def __post_init__(self) -> None:
        _check_shapes(self)
        if not self.mask.any():
            raise ScanError(
                f"{self.name}: the mask has 0 of {self.mask.size} voxels; give one that covers the brain"
            )
        bad = self.mask & ~finite_voxels(self.data)
        if bad.any():
            check_finite_volumes(self.name, self.data, self.mask)
            raise ScanError(
                f"{self.name}: {bad.sum()} of {self.mask.sum()} voxels in the mask are NaN or infinite, the first at "
                f"{tuple(map(int, np.argwhere(bad)[0]))}; exclude them with --ignore-bad-voxels or a smaller mask"
            )
        dark = self.mask & ~self._positive_b0()
        if dark.any():
            if dark.sum() == self.mask.sum():
                raise ScanError(
                    f"{self.name}: {dark.sum()} of {dark.sum()} voxels in the mask have no positive b=0 signal; "
                    "is the mask in the right place?"
                )
            warnings.warn(
                f"{self.name}: {dark.sum()} of {self.mask.sum()} voxels in the mask have no positive b=0 signal; "
                "they are left out",
                ShdWarning,
                stacklevel=3,
            )
            object.__setattr__(self, "mask", self.mask & ~dark)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each image axis."""
        x, y, z = self.data.shape[:3]
        return x, y, z

    @property
    def voxel_sizes(self) -> Float[np.ndarray, "3"]:
        """Edge lengths of a voxel in mm, along the image axes."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """M with v_scanner = M·v_voxel for directions (`grid_rotation` of the affine); det −1 for flipped grids."""
        return grid_rotation(self.affine)

    def intensities(self, voxels: Integer[np.ndarray, "voxel 3"]) -> Float[np.ndarray, "voxel volume"]:
        """Return the measured signal of the voxels listed by index, float32.

        Read in the order of memory, so that neighbours there share a page of a mapped file.
        """
        out = np.empty((len(voxels), self.data.shape[3]), dtype=np.float32)
        order = np.lexsort(voxels.T[np.argsort(self.data.strides[:3])])
        for start in range(0, len(voxels), _TOGETHER):
            chosen = order[start : start + _TOGETHER]
            x, y, z = voxels[chosen].T
            out[chosen] = self.data[x, y, z]
        return out

    def block(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Float[np.ndarray, "x y z volume"]:
        """Return the measured signal of the box start ≤ index < stop (inside the volume), float32."""
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return np.asarray(self.data[box], dtype=np.float32)

    def _positive_b0(self) -> Bool[np.ndarray, "x y z"]:
        total = np.zeros(self.shape, dtype=np.float64)
        for volume in self.gradients.b0_volumes:
            total += self.data[..., volume]
        return total > 0.0


def finite_voxels(data: Shaped[np.ndarray, "x y z volume"]) -> Bool[np.ndarray, "x y z"]:
    """Return which voxels are finite in every volume, reading one slab at a time along the slowest axis."""
    finite = np.ones(data.shape[:3], dtype=bool)
    if not np.issubdtype(data.dtype, np.inexact):
        return finite
    if int(np.argmax(np.abs(data.strides))) == 3:
        for volume in range(data.shape[3]):
            finite &= np.isfinite(data[..., volume])
    else:
        for x in range(data.shape[0]):
            finite[x] = np.isfinite(data[x]).all(axis=-1)
    return finite


def without_sparse_shells(scan: Scan) -> Scan:
    """Return the scan without shells of fewer than 6 axes, which carry no direction, saying how many volumes go.

    Raises `GradientError` if no shell is left.
    """
    table = scan.gradients
    counts = {shell.bvalue: axis_count(table.shell_directions(shell)) for shell in table.weighted_shells}
    sparse = [shell for shell in table.weighted_shells if counts[shell.bvalue] < MINIMUM_DIRECTIONS]
    if not sparse:
        return scan
    listed = ", ".join(f"{counts[shell.bvalue]} at b={shell.bvalue:.0f}" for shell in sparse)
    if len(sparse) == len(table.weighted_shells):
        raise GradientError(
            f"{scan.name}: {listed}: no shell has {MINIMUM_DIRECTIONS} directions, the fewest that show a fibre; "
            "give a scan with more directions"
        )
    dropped = np.concatenate([shell.volumes for shell in sparse])
    warnings.warn(
        f"{scan.name}: {len(dropped)} of {len(table.bvalues)} volumes are left out, as a shell needs "
        f"{MINIMUM_DIRECTIONS} directions and these have {listed} s/mm²",
        ShdWarning,
        stacklevel=2,
    )
    kept = np.setdiff1d(np.arange(len(table.bvalues)), dropped)
    return replace(scan, data=scan.data[..., kept], gradients=table.select(kept))


def _check_shapes(scan: Scan) -> None:
    volumes, values = scan.data.shape[3], len(scan.gradients.bvalues)
    if volumes != values:
        raise ScanError(
            f"{scan.name}: {number_of(volumes, 'volume')} but {number_of(values, 'b-value')}; is the b0 listed?"
        )
    if scan.mask.shape != scan.data.shape[:3]:
        raise ScanError(
            f"{scan.name}: the mask is {scan.mask.shape} but the scan {scan.data.shape[:3]}; "
            "resample the mask to the scan"
        )
    check_affine(scan.name, scan.affine)


def check_affine(name: str, affine: Float[np.ndarray, "4 4"]) -> None:
    """Raise ScanError where an affine (voxel index → scanner RAS mm) has no inverse; `name` is of the image."""
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ScanError(
            f"{name}: the affine {np.round(affine[:3, :3], 4).tolist()} has no inverse; correct the header"
        )
