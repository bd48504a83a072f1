"""What `shd train` costs: examples a second by one process and by two, and memory for few subjects and for many.

    python -m benchmarks training_cost [--processes 1,2] [--steps 60] [--turns 3] [--subjects 2,40] [--out DIR]

Rate: a network of width 8 learns from simulated boxes of 8³ voxels, made before, four examples a step; every process
has one thread. The rate is that of the second half of the steps, without start-up and validation. Runs take turns, so
that whatever else the machine does meets all of them; shown are medians, and the median over turns of the ratio to the
first. Processor: seconds of the whole program, all processes, start-up too. Memory: largest resident set of a training
by one process in which every subject's box is taken once; a subject is a scan of 48³ voxels and 30 volumes (13 MB), by
a name of its own for one file.
"""

import argparse
import csv
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np

from benchmarks.harness.processes import ProcessUse, ProgramError, measured_process
from benchmarks.harness.program import errors_in_one_line
from shd.io.atomic import write_json
from shd.io.responses import write_response
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol

RATE = ("processes", "examples a second", "÷ first", "processor")
MEMORY = ("subjects", "their scans", "peak memory", "÷ first")
_BATCH = 4
_SIMULATED = 8
_REPEATED = 6  # times 8 voxels along each axis


class Place:
    """A folder with examples and results of trainings."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder = folder.absolute()

    def train(self, processes: int, out: str, *options: str, **choices: object) -> tuple[Path, ProcessUse]:
        """Train anew with so many processes; return the folder of the result, and what it used."""
        write_json(self.folder / f"{out}.json", {"device": "cpu", **choices})
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
        )
        command = [
            sys.executable, *launcher, "-m", "shd", "train", *options, "--threads", "1", "--force",
            "--config", self.folder / f"{out}.json", "--out", self.folder / out,
        ]  # fmt: skip
        return self.folder / out, measured_process(command, {"OMP_NUM_THREADS": "1"})


def rate(place: Place, processes: int, steps: int) -> tuple[float, ProcessUse]:
    """Return examples a second, and what the program used."""
    folder, use = place.train(
        processes, "rate", "--keep", str(place.folder / "kept"), width=8, levels=3, side=8, batch=_BATCH, steps=steps,
        simulated=_SIMULATED, validation=1, validations=2,
    )  # fmt: skip
    with (folder / "log.csv").open() as file:
        _, half, whole = ((int(row["step"]), float(row["seconds"])) for row in csv.DictReader(file))
    return (whole[0] - half[0]) * _BATCH / (whole[1] - half[1]), use


def show_rates(place: Place, counts: Sequence[int], steps: int, turns: int) -> None:
    """Print the table of rates. The first run of all makes the examples, and does not count."""
    rate(place, counts[0], 2)
    found: dict[int, list[tuple[float, ProcessUse]]] = {count: [] for count in counts}
    for turn in range(turns):
        for count in counts:
            found[count].append(rate(place, count, steps))
            print(f"turn {turn + 1}, {count} processes: {found[count][-1][0]:.2f} examples a second", file=sys.stderr)
    print("\n" + _header(RATE))
    for count in counts:
        ratios = [mine[0] / first[0] for mine, first in zip(found[count], found[counts[0]], strict=True)]
        processor = median(use.processor for _, use in found[count])
        words = (f"{median(r for r, _ in found[count]):.2f}", f"{median(ratios):.2f}", f"{processor:.0f} s")
        print(_row(str(count), *words), flush=True)


def store_subjects(folder: Path, count: int) -> Path:
    """Write a table of so many subjects, all with the same scan under names of their own; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = crossing_phantom(60.0, shape=(8, 8, 8), protocol=Protocol("one", 2, ((1000.0, 28),)))
    scan, image = phantom.scan, folder / "dwi.nii"
    nib.save(nib.Nifti1Image(np.tile(scan.data, (_REPEATED,) * 3 + (1,)), scan.affine), image)
    nib.save(nib.Nifti1Image(np.ones([8 * _REPEATED] * 3, np.uint8), scan.affine), folder / "mask.nii")
    np.savetxt(folder / "dwi.b", np.column_stack([scan.gradients.directions, scan.gradients.bvalues]), fmt="%.10g")
    for response in phantom.responses:
        write_response(folder / f"{response.tissue}.txt", response)
    lines = ["name\tdwi\tgrad\tmask\twm"]
    for number in range(count):
        link = folder / f"dwi-{number}.nii"
        link.symlink_to(image)
        lines.append(f"s{number}\t{link.name}\tdwi.b\tmask.nii\twm.txt")
    table = folder / "subjects.tsv"
    table.write_text("\n".join(lines) + "\n")
    return table


def show_memory(place: Place, counts: Sequence[int]) -> None:
    """Print the table of memory."""
    print(_header(MEMORY))
    first = None
    for count in counts:
        table = store_subjects(place.folder / f"{count}", count)
        _, use = place.train(
            1, "memory", "--subjects", str(table), width=2, levels=2, side=4, batch=2, steps=max(counts) // 2,
            simulated=0, boxes=1, held_out=0, validation=1, validations=1, coarser=0,
        )  # fmt: skip
        first = first or use.memory
        scans = count * (table.parent / "dwi.nii").stat().st_size
        sizes = [f"{size / 2**20:.0f} MiB" for size in (scans, use.memory)]
        print(_row(str(count), *sizes, f"{use.memory / first:.2f}"), flush=True)


def _header(columns: Sequence[str]) -> str:
    return _row(*columns) + "\n" + "|---" * len(columns) + "|"


def _row(*words: str) -> str:
    return "| " + " | ".join(words) + " |"


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises ProgramError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks training_cost", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--processes", default="1,2", help="with commas between; each divides a batch of 4")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--subjects", default="2,40", help="with commas between")
    parser.add_argument("--out", type=Path, default=Path("training_cost"))
    arguments = parser.parse_args(words)
    arguments.counts, arguments.cohorts = _counts(arguments.processes), _counts(arguments.subjects)
    if any(_BATCH % count for count in arguments.counts) or arguments.steps < 4 or arguments.turns < 1:
        raise ProgramError(
            f"{arguments.processes} processes, {arguments.steps} steps, {arguments.turns} turns: a batch of {_BATCH} "
            "has to be shared evenly, with 4 steps or more, and 1 turn or more"
        )
    return arguments


def _counts(words: str) -> list[int]:
    try:
        counts = [int(word) for word in words.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise ProgramError(f"{words}: whole numbers from 1 on, with commas between")
    return counts


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print both tables."""
    arguments = options_of(options)
    place = Place(arguments.out)
    show_memory(place, arguments.cohorts)
    show_rates(place, arguments.counts, arguments.steps, arguments.turns)


if __name__ == "__main__":
    main(sys.argv[1:])
