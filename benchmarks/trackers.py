"""Trackers on a straight bundle: how far off their direction is, time a step; and the memory of a whole brain.

    python -m benchmarks trackers [--seeds 1000] [--brain] [--trackers deterministic]

The bundle is a fibre of degree 12 along no axis or diagonal of the grid, without noise. "error" is the median angle of
the streamlines' chords with it. DIPY's deterministic tracker looks among directions of half a sphere, of which the more
take the longer; `shd track` climbs to the peak itself. One thread. --brain: the memory at most, and the seconds, of
tracking a field of 145 × 174 × 145 voxels (HCP's), a third of them in the mask, and writing tractogram and picture.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dipy.core.sphere import Sphere
from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
from dipy.tracking.tracker import deterministic_tracking

from shd.fitting.track import track, write_tracks
from shd.fodf.field import FodField
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.harmonics import even_harmonics
from shd.tracking.field import tracking_field
from shd.tracking.probabilistic import DIPY_BASIS
from shd.tracking.seeds import Seeds
from shd.tracking.settings import ALGORITHMS, TrackSettings, settings_for
from shd.tracking.tractogram import TRACKERS

TRUTH = normalised(np.array([[0.80, -0.36, 0.48]]))[0]
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
SIDE = 40
BRAIN = (145, 174, 145)
DIPY_DIRECTIONS = (181, 362, 724)

Lines = list[np.ndarray]


def straight(shape: tuple[int, int, int], mask: np.ndarray) -> FodField:
    """Return the fibre in every voxel of a mask."""
    fibre = even_harmonics(TRUTH[None], 12)[0].astype(np.float32)
    wm = np.zeros((*shape, len(fibre)), np.float32)
    wm[mask] = fibre
    return FodField(wm, {}, AFFINE, mask)


def by_dipy(seeds: Seeds, field: np.ndarray, directions: int, settings: TrackSettings) -> Lines:
    """Return the streamlines of DIPY's deterministic tracker."""
    stopping = BinaryStoppingCriterion(np.ones(field.shape[:3]))
    lines = deterministic_tracking(
        seeds.points, stopping, np.eye(4), seed_directions=seeds.directions, sh=field, max_len=settings.max_length,
        step_size=settings.step, voxel_size=np.diag(AFFINE)[:3].copy(), max_angle=settings.angle, nbr_threads=1,
        random_seed=1, sphere=Sphere(xyz=half_sphere(directions)), **DIPY_BASIS,
    )  # fmt: skip
    return [np.asarray(line) for line in lines]


def row(name: str, run: Callable[[], Lines]) -> str:
    """Return a line of the table; the first call, which compiles, is not counted."""
    run()
    begin = time.perf_counter()
    lines = run()
    seconds = time.perf_counter() - begin
    chords = normalised(np.stack([line[-1] - line[0] for line in lines]).astype(np.float64))
    error = float(np.median(axial_angle(chords, np.broadcast_to(TRUTH, chords.shape))))
    return f"| {name} | {error:.3f} | {1e6 * seconds / sum(map(len, lines)):.1f} |"


def directions_table(count: int) -> str:
    """Return error and time of each tracker."""
    fod = straight((SIDE,) * 3, np.ones((SIDE,) * 3, bool))
    field = tracking_field(fod)
    middle = (np.array(field.rows.shape) - 1) / 2
    points = middle + np.random.default_rng(0).uniform(-5, 5, (count, 3))
    seeds = Seeds(points, np.repeat(TRUTH[None], count, axis=0), np.arange(count))
    lines = ["| tracker | error ° | µs a step |", "|---|---|---|"]
    for algorithm in ALGORITHMS:
        settings = settings_for(field.voxel_sizes, algorithm=algorithm)
        lines.append(row(f"shd track, {algorithm}", partial(TRACKERS[algorithm](field, settings, 1).follow, seeds)))
    settings = settings_for(field.voxel_sizes, algorithm="deterministic")
    wide = fod.wm.astype(np.float64)
    for number in DIPY_DIRECTIONS:
        name = f"DIPY, deterministic, {number} directions"
        lines.append(row(name, partial(by_dipy, seeds, wide, number, settings)))
    return "\n".join(lines)


def brain_table(algorithms: Sequence[str], count: int) -> str:
    """Return memory and time of a whole brain; the memory is that of the process so far."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in BRAIN), indexing="ij"))
    mask = np.linalg.norm(grid, axis=0) < 0.86
    del grid
    fod = straight(BRAIN, mask)
    lines = [
        f"fODFs: {fod.wm.nbytes / 1e9:.2f} GB, {mask.sum()} voxels in the mask",
        "",
        "| tracker | points | s | GB |",
        "|---|---|---|---|",
    ]
    for algorithm in algorithms:
        begin = time.perf_counter()
        tracked = track(fod, algorithm=algorithm, seed_count=count)
        with TemporaryDirectory() as folder:
            write_tracks(Path(folder) / "tracks.tck", tracked, {})
        points = len(tracked.tractogram.streamlines.points)
        del tracked
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        lines.append(f"| shd track, {algorithm} | {points} | {time.perf_counter() - begin:.0f} | {most:.2f} |")
    return "\n".join(lines)


def main(options: Sequence[str] = ()) -> None:
    """Print the table, or that of a whole brain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--brain", action="store_true", help="memory of a whole brain instead")
    parser.add_argument("--trackers", nargs="+", choices=ALGORITHMS, default=ALGORITHMS, help="of --brain")
    arguments = parser.parse_args(options)
    print(brain_table(arguments.trackers, arguments.seeds) if arguments.brain else directions_table(arguments.seeds))


if __name__ == "__main__":
    main(sys.argv[1:])
