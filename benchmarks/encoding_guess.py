"""How well `shd convert` guesses basis and axes of fODFs: true against guessed, over phantoms, grids and degrees.

True fODFs of phantoms (a Gaussian of 8° around each fibre, cut at the degree), with noise of 5 % of the l = 0
coefficient in every coefficient, are told in each basis and along each axes, as a file without a sidecar is.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from shd.fitting.convert import guess_axes_of, guess_basis_of
from shd.fitting.simulate import simulate
from shd.fodf.encoding import AXES, OURS, Encoding, conversion_matrix
from shd.simulation.true_fods import true_fods
from shd.sphere.bases import DIPY_BASES
from shd.sphere.rotations import grid_rotation

FAMILIES: dict[str, dict[str, float]] = {
    "tangle": {"extent": 50.0},
    "fanning": {},
    "bending": {},
    "brain": {"extent": 90.0},
}
DEGREES = (4, 8, 12)
NOISE = 0.05
VOXEL_MM = 3.0


def turned(degrees: float) -> np.ndarray:
    """Return a rotation about (1, 0.6, −0.4)."""
    x, y, z = np.array([1.0, 0.6, -0.4]) / np.sqrt(1.52)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


GRIDS = {
    "RAS": np.eye(3), "LAS": np.diag([-1.0, 1.0, 1.0]), "LPS": np.diag([-1.0, -1.0, 1.0]), "oblique 20°": turned(20),
    "oblique 6°": turned(6), "permuted": np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]]),
}  # fmt: skip


def phantoms() -> Iterator[tuple[str, str, np.ndarray, np.ndarray, np.ndarray]]:
    """Give family, grid, fODFs (scanner axes), affine and the voxels of white matter of every phantom."""
    for family, choices in FAMILIES.items():
        whole = simulate(family, protocol="clinical", seed=3, subsamples=2, voxel_mm=VOXEL_MM, **choices)
        reach = max(whole.scan.shape)
        for name, axes in GRIDS.items():
            affine = np.eye(4)
            affine[:3, :3] = VOXEL_MM * axes
            affine[:3, 3] = -affine[:3, :3] @ np.full(3, (reach - 1) / 2)
            phantom = simulate(
                family, protocol="clinical", seed=3, subsamples=2, shape=(reach,) * 3, affine=affine, **choices
            )
            yield (
                family,
                name,
                true_fods(phantom, smoothing_degrees=8.0),
                affine,
                phantom.tissue_fractions[..., 0] > 0.3,
            )


def told(fods: np.ndarray, degree: int, encoding: Encoding, affine: np.ndarray, white: np.ndarray) -> np.ndarray:
    """Return noisy fODFs of white matter as a file of this encoding holds them."""
    matrix = conversion_matrix(degree, OURS, encoding, affine)
    field = fods[..., : len(matrix)] * white[..., None]
    noise = np.random.default_rng(0).standard_normal(field.shape) * NOISE * field[..., :1]
    return np.asarray((field + noise) @ matrix.T, np.float32)


def table(title: str, counts: Counter[tuple[str, str]], names: tuple[str, ...]) -> None:
    """Print how often each was guessed, a row a truth."""
    answers = (*names, "refused")
    print(f"\n{title}: rows are true, columns guessed\n" + " " * 22 + "".join(f"{answer:>21}" for answer in answers))
    for name in names:
        print(f"{name:22}" + "".join(f"{counts[name, answer]:21}" for answer in answers))


def main() -> None:
    """Print the two tables, and where axes were refused."""
    bases: Counter[tuple[str, str]] = Counter()
    axes: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    for _, name, fods, affine, white in phantoms():
        same = np.abs(np.abs(grid_rotation(affine)) - np.eye(3)).max() < 1e-3 and name == "RAS"
        for degree in DEGREES:
            for index, basis in enumerate(DIPY_BASES):
                field = told(fods, degree, Encoding(basis, AXES[index % 2]), affine, white)
                guess = guess_basis_of(field)
                bases[basis, guess.best if guess.sure else "refused"] += 1
            for along in AXES:
                guess = guess_axes_of(
                    told(fods, degree, Encoding("tournier07", along), affine, white), "tournier07", affine
                )
                axes[along, along if guess.sure and same else guess.best if guess.sure else "refused"] += 1
                refused[name] += not guess.sure
    table("Basis", bases, DIPY_BASES)
    table("Axes", axes, AXES)
    print("\naxes refused, by grid: " + ", ".join(f"{name} {refused[name]}" for name in GRIDS))


if __name__ == "__main__":
    main()
