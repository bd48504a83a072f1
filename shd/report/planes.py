"""Anatomical planes through a volume of any affine: slice, window, and where scanner axes point on the page.

Radiological view: the patient's left is on the right of axial and coronal planes, as if seen from the feet and from the
front; sagittal planes are seen from the left, face to the left.
"""

from dataclasses import dataclass, replace

import nibabel
import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.ndimage import uniform_filter

__all__ = ["Plane", "anatomical_planes"]

# Name → scanner axis (0 left-right, 1 back-front, 2 down-up) and its sign, to the right and up the page.
_LAYOUTS = {"axial": ((0, -1), (1, 1)), "coronal": ((0, -1), (2, 1)), "sagittal": ((1, -1), (2, 1))}
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice of the voxel grid as it lies on the page, in millimetres.

    Oblique volumes are shown in their own grid, named after the nearest anatomical plane. normal, right, up: voxel axes
    out of the page and along it. index: the slice along `normal`. across, along: first and last-plus-one voxel shown on
    the right and up axes. frame: rows are the unit vectors to the right, up and towards the viewer, in scanner axes.
    letters: what lies at the left, right, bottom and top edge.
    """

    name: str
    normal: int
    right: int
    up: int
    index: int
    across: tuple[int, int]
    along: tuple[int, int]
    affine: Float[np.ndarray, "4 4"]
    shape: tuple[int, int, int]
    frame: Float[np.ndarray, "3 3"]
    letters: tuple[str, ...]

    @property
    def whole(self) -> "Plane":
        """The same slice without a window."""
        return replace(self, across=(0, self.shape[self.right]), along=(0, self.shape[self.up]))

    @property
    def title(self) -> str:
        """The plane's name, its slice, and which slices there are."""
        return f"{self.name}, slice {self.index} (0 to {self.shape[self.normal] - 1})"

    @property
    def spacing(self) -> float:
        """The smaller of the two distances between neighbouring voxels of the plane, mm."""
        return float(min(np.linalg.norm(self.affine[:3, [self.right, self.up]], axis=0)))

    def voxels(self) -> Int[np.ndarray, "voxel 3"]:
        """Return the indices of the voxels in the window."""
        grid = [np.array([self.index])] * 3
        grid[self.right], grid[self.up] = np.arange(*self.across), np.arange(*self.along)
        return np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, 3)

    def centres(self, voxels: Shaped[np.ndarray, "*voxel 3"]) -> Float[np.ndarray, "*voxel 3"]:
        """Return where voxel indices lie: right, up and towards the viewer, mm."""
        return self.turned(voxels @ self.affine[:3, :3].T + self.affine[:3, 3])

    def turned(self, vectors: Float[np.ndarray, "*grid 3"]) -> Float[np.ndarray, "*grid 3"]:
        """Return scanner vectors in page axes: right, up, towards the viewer."""
        return vectors @ self.frame.T.astype(vectors.dtype)

    def extent(self) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top edge of the window on the page, mm."""
        corners = np.full((2, 3), float(self.index))
        corners[:, self.right] = np.array(self.across) - 0.5
        corners[:, self.up] = np.array(self.along) - 0.5
        (x0, y0), (x1, y1) = self.centres(corners)[:, :2]
        return float(min(x0, x1)), float(max(x0, x1)), float(min(y0, y1)), float(max(y0, y1))

    def cut(self, volume: Shaped[np.ndarray, "x y z"]) -> Shaped[np.ndarray, "up right"]:
        """Return the window of a volume as an image, its first row at the bottom, its first column at the left."""
        image = np.take(volume, self.index, axis=self.normal)
        if self.right < self.up:
            image = image.T
        image = image[slice(*self.along), slice(*self.across)]
        steps = self.frame[:2] @ self.affine[:3, [self.right, self.up]]
        return image[:: 1 if steps[1, 1] > 0 else -1, :: 1 if steps[0, 0] > 0 else -1]


def anatomical_planes(
    affine: Float[np.ndarray, "4 4"], weight: Float[np.ndarray, "x y z"], window: int = 24
) -> list[Plane]:
    """Return the axial, coronal and sagittal plane with the greatest sum of `weight`.

    Planes of more than `window` voxels in a direction show the window of that size with the greatest sum. affine: voxel
    index → scanner RAS mm.
    """
    scanner_axis = nibabel.io_orientation(affine)[:, 0].astype(int)
    return [_plane(name, affine, weight, window, scanner_axis) for name in _LAYOUTS]


def _plane(
    name: str,
    affine: Float[np.ndarray, "4 4"],
    weight: Float[np.ndarray, "x y z"],
    window: int,
    scanner_axis: Int[np.ndarray, " 3"],
) -> Plane:
    """Lay one named plane out; `scanner_axis` says which scanner axis each voxel axis is nearest to."""
    (right_scanner, right_sign), (up_scanner, up_sign) = _LAYOUTS[name]
    right = int(np.flatnonzero(scanner_axis == right_scanner)[0])
    up = int(np.flatnonzero(scanner_axis == up_scanner)[0])
    normal = 3 - right - up
    index = int(np.argmax(weight.sum(axis=(right, up))))
    across, along = _busiest_window(np.take(weight, index, axis=normal), right < up, window)
    return Plane(
        name=name,
        normal=normal,
        right=right,
        up=up,
        index=index,
        across=across,
        along=along,
        affine=np.asarray(affine, dtype=np.float64),
        shape=weight.shape,
        frame=_page_frame(affine, (right, right_scanner, right_sign), (up, up_scanner, up_sign)),
        letters=_LETTERS[right_scanner][::right_sign] + _LETTERS[up_scanner][::up_sign],
    )


def _page_frame(
    affine: Float[np.ndarray, "4 4"], to_right: tuple[int, int, int], upwards: tuple[int, int, int]
) -> Float[np.ndarray, "3 3"]:
    """Return the page's axes from (voxel axis, nearest scanner axis, wanted sign) of its right and up direction.

    The voxel axes are made orthonormal by the polar decomposition, which turns each of a sheared grid's axes least.
    """
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(columns)
    axes = left @ right
    first, second = (
        axes[:, voxel_axis] * np.sign(axes[scanner, voxel_axis]) * sign
        for voxel_axis, scanner, sign in (to_right, upwards)
    )
    return np.stack([first, second, np.cross(first, second)])


def _busiest_window(
    weight: Float[np.ndarray, "first second"], right_first: bool, window: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ranges on the right and up axis of the window with the greatest sum."""
    size = [min(window, length) for length in weight.shape]
    sums = uniform_filter(weight.astype(np.float64), size=size, mode="constant")
    # A window centred on c begins at c − size // 2: keep the centres whose window lies inside.
    inside = tuple(slice(s // 2, s // 2 + length - s + 1) for s, length in zip(size, weight.shape, strict=True))
    best = np.unravel_index(int(np.argmax(sums[inside])), sums[inside].shape)
    first, second = ((int(begin), int(begin) + s) for begin, s in zip(best, size, strict=True))
    return (first, second) if right_first else (second, first)
