"""Peaks of the same fODFs by `shd` and by MRtrix3's `sh2peaks`: time and agreement, in one run.

Processor time counts every thread of a program, so it holds on a busy machine; wall time does not.
"""

import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from shd.fodf.peaks import find_peaks
from shd.io.peaks import read_peaks
from shd.sphere.directions import axial_angle, normalised
from shd.sphere.harmonics import coefficient_count, even_harmonics

VOXELS, COUNT = 20000, 5


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


def measured(work) -> tuple[float, float]:
    """Return wall and processor seconds of a call, child processes included."""
    def processor() -> float:
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

    wall, before = time.perf_counter(), processor()
    work()
    return time.perf_counter() - wall, processor() - before


def compare(degree: int) -> list[str]:
    """Return the rows of the table for one degree."""
    fods = crossing_fods(VOXELS, degree)
    find_peaks(fods[:1], count=COUNT)  # compiles, or loads what was compiled
    ours = find_peaks(fods, count=COUNT)
    wall, processor = measured(lambda: find_peaks(fods, count=COUNT))
    rows = [row(degree, "shd", wall, processor)]
    if shutil.which("sh2peaks") is None:
        return [*rows, "sh2peaks is not installed"]
    with tempfile.TemporaryDirectory() as name:
        fod, peaks = Path(name) / "fod.nii", Path(name) / "peaks.nii"
        nib.save(nib.Nifti1Image(fods.reshape(VOXELS // 100, 10, 10, -1), np.eye(4)), fod)
        command = ["sh2peaks", "-quiet", "-nthreads", str(os.cpu_count()), "-num", str(COUNT), str(fod), str(peaks)]
        their_wall, their_processor = measured(lambda: subprocess.run(command, check=True))
        theirs, _, _ = read_peaks(peaks)
    angle = axial_angle(ours.directions[:, 0].astype(float), theirs.directions[..., 0, :].reshape(-1, 3).astype(float))
    ratio = ours.amplitudes[:, 0] / theirs.amplitudes[..., 0].ravel()
    same = angle < 1.0
    ours_higher, theirs_higher = (ratio > 1 + 1e-5).mean(), (ratio < 1 - 1e-5).mean()
    return [
        *rows,
        row(degree, "sh2peaks", their_wall, their_processor),
        f"       {their_wall / wall:.1f} times faster by wall time, {their_processor / processor:.1f} by processor",
        f"       highest peak: the same in {same.mean():.2%} of voxels, there at most {angle[same].max():.3f}° apart; "
        f"ours higher in {ours_higher:.2%}, theirs in {theirs_higher:.2%}",
    ]


def row(degree: int, program: str, wall: float, processor: float) -> str:
    """Return one line of the table, from seconds to microseconds a voxel."""
    return f"{degree:6} {program:9} {wall / VOXELS * 1e6:10.1f} {processor / VOXELS * 1e6:10.1f} {VOXELS / wall:10.0f}"


def main() -> None:
    """Print the table."""
    print(f"{VOXELS} voxels, {COUNT} peaks, {os.cpu_count()} processors; microseconds a voxel")
    print(f"{'degree':>6} {'program':9} {'wall':>10} {'processor':>10} {'voxels/s':>10}")
    for degree in (8, 12):
        print("\n".join(compare(degree)))


if __name__ == "__main__":
    main()
