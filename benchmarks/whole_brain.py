"""A whole simulated brain: `shd infer` beside MRtrix3's msmt_csd, time and peak memory, each in its own process.

    python -m benchmarks whole_brain [--model base] [--voxels 10000,200000] [--full] [--threads 2] [--degree 8]
                                     [--out DIR]

The scan is the family "brain" with the research protocol (126 volumes) at SNR 20, its voxels of such a size that the
mask holds about as many as asked; --full adds a million. Both programs run one after the other on the same files with
the same threads. Wall clock is of the whole program, start, reading and writing included; computing is the sum of its
stages without start, reading and writing, which shd infer says itself, and the cost of a voxel is that divided by the
voxels. shd infer estimates its responses and writes fODFs of degree 12 and peaks; msmt_csd is given the exact
responses and writes fODFs of --degree. Scans are kept in DIR and not made again.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from benchmarks.deconvolvers.methods import MethodError
from benchmarks.deconvolvers.mrtrix import mrtrix_installed
from benchmarks.deconvolvers.pretrained import ESTIMATE, missing_model
from benchmarks.harness.processes import measured_process
from benchmarks.harness.program import errors_in_one_line
from benchmarks.inference import networks
from shd.errors import OutputError
from shd.io.atomic import whole_file, write_json
from shd.io.checkpoints import write_model
from shd.io.responses import write_response
from shd.models.deconvolver import Deconvolver
from shd.simulation.brain import brain_geometry
from shd.simulation.families import FAMILIES
from shd.simulation.phantoms import Phantom, measured
from shd.simulation.protocols import RESEARCH

PROGRAM = "from shd.cli.main import run; run()"
FULL = 1_000_000
_USUAL = 226_000  # voxels of the mask at the family's own voxel size
_LEAST = 1000  # voxels: a coarser head has no cortex
_TISSUES = ("wm", "gm", "csf")


@dataclass(frozen=True)
class Row:
    """One program on one scan. computing: seconds without start, reading and writing, None where it is not said.

    wall, processor: seconds. memory: bytes.
    """

    program: str
    voxels: int
    wall: float
    computing: float | None
    processor: float
    memory: int

    @property
    def cost(self) -> float:
        """Microseconds a voxel: of computing, of everything where that is not known."""
        return 1e6 * (self.wall if self.computing is None else self.computing) / self.voxels


def voxel_mm(voxels: int) -> float:
    """Return the size of voxels of which the brain's mask holds about so many."""
    return FAMILIES["brain"].voxel_mm * (_USUAL / voxels) ** (1 / 3)


def scan_folder(out: Path, voxels: int) -> Path:
    """Return the folder with the scan, its mask and responses, made where it is not there yet.

    Beside them lies a network before its first step, of the size that a fit has, for `ESTIMATE`. Raises OutputError
    where the folder cannot be made.
    """
    folder = out / f"brain_{voxels}"
    if not (folder / "mask.nii").is_file():  # which is written last
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another --out") from error
        _write_scan(folder, measured(brain_geometry(), voxel_mm=voxel_mm(voxels), protocol=RESEARCH))
    return folder


def _write_scan(folder: Path, phantom: Phantom) -> None:
    scan = phantom.scan
    nib.save(nib.Nifti1Image(scan.data, scan.affine), folder / "dwi.nii")
    np.savetxt(folder / "dwi.b", np.column_stack([scan.gradients.directions, scan.gradients.bvalues]), fmt="%.10g")
    for response in phantom.responses:
        write_response(folder / f"{response.tissue}.txt", response)
    config = next(iter(networks(phantom.responses, scan).values()))
    write_model(folder / f"{ESTIMATE}.safetensors", Deconvolver(config), phantom.responses)
    nib.save(nib.Nifti1Image(scan.mask.astype(np.uint8), scan.affine), folder / "mask.nii")


def run_infer(folder: Path, model: str, threads: int) -> Row:
    """Return the row of `shd infer`."""
    weights = folder / f"{ESTIMATE}.safetensors" if model == ESTIMATE else model
    out = folder / "infer"
    command: list[str | Path] = [
        sys.executable, "-c", PROGRAM, "infer", folder / "dwi.nii", "--grad", folder / "dwi.b",
        "--mask", folder / "mask.nii", "--model", weights, "--out", out, "--threads", str(threads), "--force",
    ]  # fmt: skip
    use = measured_process(command, _threads(threads))
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    computing = sum(record["seconds"].values())
    return Row("shd infer", record["scan"]["mask_voxels"], use.wall, computing, use.processor, use.memory)


def run_msmt(folder: Path, degree: int, threads: int, voxels: int) -> Row:
    """Return the row of `dwi2fod msmt_csd`."""
    command: list[str | Path] = ["dwi2fod", "msmt_csd", folder / "dwi.nii", "-grad", folder / "dwi.b"]
    command += ["-mask", folder / "mask.nii", "-lmax", f"{degree},0,0", "-nthreads", str(threads), "-quiet", "-force"]
    for tissue in _TISSUES:
        command += [folder / f"{tissue}.txt", folder / f"msmt_{tissue}.nii"]
    use = measured_process(command, _threads(threads))
    return Row(f"msmt_csd, degree {degree}", voxels, use.wall, None, use.processor, use.memory)


def _threads(threads: int) -> dict[str, str]:
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))


HEAD = ("program", "voxels", "wall clock", "voxels/s", "computing", "cost of a voxel", "processor", "peak memory")


def line(row: Row) -> str:
    """Return a row in Markdown."""
    computing = "–" if row.computing is None else f"{row.computing:.1f} s"
    words = (
        row.program, str(row.voxels), f"{row.wall:.1f} s", f"{row.voxels / row.wall:.0f}", computing,
        f"{row.cost:.0f} µs", f"{row.processor:.0f} s", f"{row.memory / 2**30:.2f} GiB",
    )  # fmt: skip
    return "| " + " | ".join(words) + " |"


def said(rows: Sequence[Row]) -> list[str]:
    """Return, in words, how the programs compare at each size, and how shd's cost of a voxel changes with the size."""
    ours = [row for row in rows if row.program == "shd infer"]
    lines = []
    for row in ours:
        for other in rows:
            if other.voxels == row.voxels and other is not row:
                lines.append(
                    f"{row.voxels} voxels: shd infer takes {row.wall / other.wall:.2f} times as long as "
                    f"{other.program} and {row.memory / other.memory:.2f} times its memory"
                )
    if len(ours) > 1:
        low, high = min(ours, key=lambda row: row.cost), max(ours, key=lambda row: row.cost)
        middle = (low.cost + high.cost) / 2
        lines.append(
            f"cost of a voxel: {low.cost:.0f} µs ({low.voxels} voxels) to {high.cost:.0f} µs ({high.voxels}): "
            f"± {100 * (high.cost - middle) / middle:.0f} %"
        )
    return lines


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks whole_brain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="base", help='a packaged network, the file of one, or "estimate"')
    parser.add_argument("--voxels", default="10000,200000", help="of the mask, roughly, with commas between")
    parser.add_argument("--full", action="store_true", help=f"also {FULL}")
    parser.add_argument("--degree", type=int, default=8, help="of msmt_csd")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("whole_brain"))
    arguments = parser.parse_args(words)
    try:
        sizes = {int(word) for word in arguments.voxels.split(",")}
    except ValueError:
        raise MethodError(f"--voxels {arguments.voxels}: whole numbers with commas between") from None
    arguments.sizes = sorted(sizes | ({FULL} if arguments.full else set()))
    if arguments.sizes[0] < _LEAST:
        raise MethodError(f"--voxels {arguments.sizes[0]}: a brain needs at least {_LEAST}")
    if not 1 <= arguments.threads <= (os.cpu_count() or 1):
        raise MethodError(f"--threads {arguments.threads}: this machine has {os.cpu_count()}")
    if arguments.degree < 2 or arguments.degree % 2:
        raise MethodError(f"--degree {arguments.degree}: give an even degree from 2")
    reason = missing_model(arguments.model)
    if reason:
        raise MethodError(f"--model {arguments.model}: {reason}")
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print a row a program and size, and write them."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    print("\n".join(lines), flush=True)
    rows = []
    for voxels in arguments.sizes:
        folder = scan_folder(arguments.out, voxels)
        rows.append(run_infer(folder, arguments.model, arguments.threads))
        print(line(rows[-1]), flush=True)
        if mrtrix_installed():
            rows.append(run_msmt(folder, arguments.degree, arguments.threads, rows[-1].voxels))
            print(line(rows[-1]), flush=True)
    text = "\n".join([*lines, *map(line, rows), "", *(f"- {words}" for words in said(rows))]) + "\n"
    print("\n".join(["", *said(rows)]))
    if not mrtrix_installed():
        print("left out: msmt_csd: MRtrix3's dwi2fod is not on the PATH")
    with whole_file(arguments.out / "whole_brain.md") as file:
        file.write_text(text, encoding="utf-8")
    record = [asdict(row) | {"cost_us": row.cost} for row in rows]
    write_json(arguments.out / "whole_brain.json", {"threads": arguments.threads, "rows": record})
    print(f"wrote whole_brain.md and .json in {arguments.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
