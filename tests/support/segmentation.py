"""A study of labelled scans on disk that is quick to learn: small boxes of white matter with lesions."""

from pathlib import Path

import numpy as np

from shd.io.images import write_image
from shd.scans.scan import Scan
from shd.signal.gradients import gradient_table
from shd.sphere.directions import half_sphere
from shd.sphere.rotations import random_rotation
from tests.support.affines import AFFINES
from tests.support.stored import store

NETWORK = {"pq_channels": [[2, 1]], "p_channels": [[3, 2]]}
SHAPE = (8, 7, 6)


def labelled_scan(
    seed: int, labels: int = 1, along: np.ndarray | None = None, scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[Scan, np.ndarray]:
    """Return a scan of fibres along x with noise, and labels: blocks in which diffusion is free, by their speed."""
    rng = np.random.default_rng(seed)
    along = half_sphere(7) if along is None else along
    affine = AFFINES["oblique"] @ np.diag([*scale, 1.0])
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    bvalues = np.repeat([0.0, 1000.0], [2, len(along)])
    directions = np.vstack([np.zeros((2, 3)), along @ columns.T])
    cosines = np.concatenate([[0.0, 0.0], along[:, 0]])
    truth = np.zeros(SHAPE, np.int16)
    for label in range(1, labels + 1):
        start = rng.integers(0, np.array(SHAPE) - 3)
        truth[tuple(slice(a, a + 3) for a in start)] = label
    signal = np.empty((*SHAPE, len(bvalues)))
    signal[...] = np.exp(-bvalues * (0.2e-3 + 1.5e-3 * cosines**2))
    for label in range(1, labels + 1):
        signal[truth == label] = np.exp(-bvalues * (0.7e-3 * label))
    data = (500.0 * (signal + 0.03 * rng.standard_normal(signal.shape))).astype(np.float32)
    mask = np.ones(SHAPE, bool)
    mask[0] = False
    truth[0] = 0
    return Scan(data, affine, gradient_table(bvalues, directions), mask, f"s{seed}"), truth


def store_study(
    folder: Path,
    count: int = 4,
    labels: int = 1,
    turned: int | None = None,
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Path:
    """Write `count` scans with masks and labels, and a table of them.

    turned: the scan of other directions. scale: of the voxels, of 2 × 2 × 2 mm otherwise.
    """
    lines = ["name\tdwi\tmask\tlabel"]
    for seed in range(count):
        along = half_sphere(12) @ random_rotation(np.random.default_rng(1)).T if seed == turned else None
        scan, truth = labelled_scan(seed, labels, along, scale)
        files = store(scan, folder / scan.name)
        write_image(folder / scan.name / "label.nii.gz", [truth], scan.shape, scan.affine, None, dtype="<i2")
        where = [str(files[key].relative_to(folder)) for key in ("dwi", "mask")]
        lines.append("\t".join([scan.name, *where, f"{scan.name}/label.nii.gz"]))
    (folder / "study.tsv").write_text("\n".join(lines) + "\n")
    return folder / "study.tsv"
