"""Time and peak memory of `shd fit`, each in a process of its own, as a markdown table.

    python -m benchmarks.fits [--threads 2] [--minutes M] [DWI.nii.gz …]

The scans are the two human ones in the dipy package, then any given: with gradient files named as the image (.bval
and .bvec, or .b) and, where there is one, mask.nii.gz in the same folder. Time is the wall clock of the whole program,
start and pictures included; memory the largest resident set of its process.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dipy.data import get_fnames

PROGRAM = "from shd.cli.main import run; run()"
COLUMNS = (
    "scan", "voxels fitted", "volumes (b = 0 + each shell)", "training, min", "steps", "first estimate, s",
    "inference, s", "whole program, min", "CPU, min", "peak memory, GB",
)  # fmt: skip


def measured_fit(files: Sequence[str], threads: int, minutes: float | None) -> tuple[float, float, float, dict]:
    """Return wall seconds, CPU seconds, peak GB and run.json of one `shd fit` in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        options = ["--out", str(out), "--threads", str(threads)]
        options += [] if minutes is None else ["--minutes", str(minutes)]
        started = time.perf_counter()
        command = [sys.executable, "-c", PROGRAM, "fit", *files, *options]
        says = [(os.POSIX_SPAWN_DUP2, 2, 1)]  # what it says goes to stderr: stdout is the table's
        process = os.posix_spawn(sys.executable, command, environment, file_actions=says)
        _, status, usage = os.wait4(process, 0)  # of this child alone, unlike getrusage(RUSAGE_CHILDREN)
        wall = time.perf_counter() - started
        if status:
            sys.exit(f"shd fit {' '.join(files)} ended with {os.waitstatus_to_exitcode(status)}")
        record = json.loads((out / "run.json").read_text())
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kB on Linux
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e9, record


def row(files: Sequence[str], threads: int, minutes: float | None) -> list[str]:
    """Return one scan's cells, in the order of COLUMNS."""
    wall, processor, memory, record = measured_fit(files, threads, minutes)
    seconds = record["seconds"]
    volumes = [str(count) for count in record["scan"]["shells"].values()]
    return [
        record["scan"]["name"],
        str(record["scan"]["mask_voxels"]),
        " + ".join(volumes),
        f"{seconds['training'] / 60:.1f}",
        str(record["steps"]),
        f"{seconds['first estimate']:.0f}",
        f"{seconds['inference']:.0f}",
        f"{wall / 60:.1f}",
        f"{processor / 60:.1f}",
        f"{memory:.1f}",
    ]


def arguments_of(image: Path) -> list[str]:
    """Return the arguments of `shd fit` for an image and the mask beside it."""
    mask = image.with_name("mask.nii.gz")
    return [str(image), *(["--mask", str(mask)] if mask.is_file() else [])]


def main(options: Sequence[str] = ()) -> None:
    """Print a row a scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, nargs="*")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="of training; by default what shd fit chooses")
    arguments = parser.parse_args(options)
    scans = [[str(path) for path in get_fnames(name=name)] for name in ("small_64D", "small_101D")]
    scans += [arguments_of(image) for image in arguments.scans]
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for files in scans:
        print("| " + " | ".join(row(files, arguments.threads, arguments.minutes)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
