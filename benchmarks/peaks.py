"""Peaks of the same fODFs by `shd`, MRtrix3's `sh2peaks` and DIPY: voxels a second and error, in one run.

The fODFs are those voxels of a simulated brain (SNR 20) in which several bundles cross, as the packaged network `small`
deconvolves them, and random crossings of three fibres with noise. Processor time counts every thread of a program, so
it holds on a busy machine; wall time does not. The error is the angle between the highest peak and the exact maximum,
climbed to without derivatives from the best of 20000 directions.
"""

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from dipy.data import get_sphere
from dipy.direction import peak_directions

import shd
from shd.fodf.peak_reference import climb_without_derivatives
from shd.fodf.peaks import find_peaks
from shd.io.peaks import read_peaks
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.harmonics import coefficient_count, even_harmonics

VOXELS, COUNT = 40000, 5
CHECKED = 500  # voxels whose exact maximum is found
FEWER = {"sh2peaks": 1200, "DIPY": 600}  # voxels of the slower programs
COLUMNS = ("fODFs", "degree", "program", "threads", "voxels/s", "voxels a processor second", "median error", "above 1°")


def crossing_fods(voxels: int, degree: int, seed: int = 0) -> np.ndarray:
    """Two fibres at 30° to 90° and a weaker third, apodised as fODFs are, with noise of 2 % of a coefficient."""
    rng = np.random.default_rng(seed)
    first, other, third = normalised(rng.standard_normal((3, voxels, 3)))
    across = normalised(other - np.sum(other * first, axis=1, keepdims=True) * first)
    angle = np.radians(rng.uniform(30, 90, (voxels, 1)))
    second = np.cos(angle) * first + np.sin(angle) * across
    l = np.concatenate([np.full(2 * k + 1, k) for k in range(0, degree + 1, 2)])
    width = np.exp(-l * (l + 1) / (2.0 * degree**2))
    fods = rng.normal(0, 0.02, (voxels, coefficient_count(degree)))
    for axes, weight in ((first, 0.5), (second, 0.35), (third, 0.15)):
        fods += weight * width * even_harmonics(axes, degree)
    return fods.astype(np.float32)


def brain_fods(voxels: int, degrees: tuple[int, ...]) -> dict[int, np.ndarray]:
    """The fODFs of a simulated brain's crossings, by degree, repeated up to a number of voxels."""
    phantom = shd.simulate("brain", extent=50.0, subsamples=2, snr=20.0)
    crossing = (phantom.fractions > 0.1).sum(axis=-1) > 1
    found = {}
    for degree in degrees:
        fod = shd.infer(phantom.scan, "small", phantom.responses, degree=degree).fod
        chosen = fod.wm[crossing & fod.mask]
        found[degree] = np.ascontiguousarray(np.resize(chosen, (voxels, chosen.shape[1])))
    return found


def exact_maxima(fods: np.ndarray, degree: int) -> np.ndarray:
    """The axis of the highest maximum of each fODF."""
    grid = half_sphere(20000)
    best = grid[(fods.astype(float) @ even_harmonics(grid, degree).T).argmax(axis=1)]
    climbed = [
        climb_without_derivatives(fod.astype(float), start[None])[0][0] for fod, start in zip(fods, best, strict=True)
    ]
    return np.stack(climbed)


def measured(work: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Return wall and processor seconds of a call, child processes included, and what it returned."""

    def processor() -> float:
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    wall, before = time.perf_counter(), processor()
    result = work()
    return time.perf_counter() - wall, processor() - before, result


def ours(fods: np.ndarray, threads: int) -> np.ndarray:
    """The highest peaks by shd."""
    return find_peaks(fods, count=COUNT, threads=threads).directions[:, 0]


def by_mrtrix(folder: Path, threads: int) -> np.ndarray:
    """The highest peaks by sh2peaks; reading and writing of uncompressed files is part of its work."""
    words = ["sh2peaks", "-quiet", "-force", "-nthreads", str(threads), "-num", str(COUNT), "fod.nii", "peaks.nii"]
    subprocess.run(words, cwd=folder, check=True)
    peaks, _, _ = read_peaks(folder / "peaks.nii")
    return peaks.directions[..., 0, :].reshape(-1, 3)


def by_dipy(fods: np.ndarray, degree: int) -> np.ndarray:
    """The highest peaks by DIPY on its sphere of 724 directions; its harmonics are `even_harmonics` (tournier07)."""
    sphere = get_sphere(name="symmetric724").subdivide(n=0)
    basis = even_harmonics(sphere.vertices, degree).T
    found = np.zeros((len(fods), 3))
    for voxel, fod in enumerate(fods):
        directions, _, _ = peak_directions(fod @ basis, sphere, relative_peak_threshold=0.1, min_separation_angle=8)
        found[voxel] = directions[0]
    return found


def rows(name: str, degree: int, fods: np.ndarray, repeats: int) -> Iterator[str]:
    """Yield the lines of the table for one set of fODFs: the quickest of `repeats` calls of each program."""
    exact = exact_maxima(fods[:CHECKED], degree)

    def row(program: str, threads: int, voxels: int, work: Callable[[], np.ndarray]) -> str:
        runs = [measured(work) for _ in range(repeats)]
        wall, processor, found = min(run[0] for run in runs), min(run[1] for run in runs), runs[0][2]
        errors = axial_angle(exact, found[:CHECKED].astype(float))
        speeds = f"{voxels / wall:,.0f} | {voxels / processor:,.0f}"
        return (
            f"| {name} | {degree} | {program} | {threads} | {speeds} | {np.median(errors):.3f}° | "
            f"{(errors > 1).mean():.1%} |"
        )

    ours(fods[:1], 1)  # compiles, or loads what was compiled
    for threads in (1, 2):
        yield row("shd", threads, len(fods), lambda threads=threads: ours(fods, threads))
    if shutil.which("sh2peaks") is None:
        yield "sh2peaks is not installed"
    else:
        with tempfile.TemporaryDirectory() as folder:
            fewer = fods[: FEWER["sh2peaks"]]
            nib.save(nib.Nifti1Image(fewer.reshape(-1, 20, 20, fods.shape[1]), np.eye(4)), Path(folder) / "fod.nii")
            for threads in (1, 2):
                yield row("sh2peaks", threads, len(fewer), lambda threads=threads: by_mrtrix(Path(folder), threads))
    yield row("DIPY", 1, FEWER["DIPY"], lambda: by_dipy(fods[: FEWER["DIPY"]], degree))


def main(words: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="calls of each program; the quickest counts")
    repeats = parser.parse_args(words or []).repeats
    degrees = (8, 12)
    brain = brain_fods(VOXELS, degrees)
    print(f"{VOXELS} voxels, {COUNT} peaks\n\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for degree in degrees:
        for name, fods in (("brain", brain[degree]), ("random", crossing_fods(VOXELS, degree))):
            for line in rows(name, degree, fods, repeats):
                print(line, flush=True)


if __name__ == "__main__":
    main()
