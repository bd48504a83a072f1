"""Tractograms on phantoms: valid and invalid connections from our fODFs and from those of CSD, by several trackers.

    python -m benchmarks tractography [--phantom tangle] [--protocol research] [--seed 1] [--out tractography]

Each row is one set of fODFs followed by one tracker at one amplitude cutoff: `shd track` (deterministic,
probabilistic, particle) from a number of seeds, and MRtrix3's `tckgen` (SD_STREAM, iFOD2) until it has as many
streamlines. All else is equal: seeds in the voxels more than half white matter; the scan's mask; lengths from 10 to
250 mm; each program's own defaults. Each method has the row of the default cutoff, 0.1, and that of its own best among
0.05, 0.1, 0.2 and 0.4, by the F1 (Dice) of bundles. "truth" is the true fODF at degree 12, smoothed by 5°: what a
tracker can do at best. Every cell is kept in --out, and the same command goes on from there.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.accuracy_table.kept import kept
from benchmarks.accuracy_table.problems import Problem
from benchmarks.deconvolvers.methods import METHODS, MethodError, chosen_methods, separable
from benchmarks.deconvolvers.training import Budget
from benchmarks.harness.program import errors_in_one_line
from shd.errors import ShdError
from shd.evaluation.tractogram_scores import Streamlines, score_tractogram
from shd.evaluation.truth import Truth
from shd.fitting.track import track
from shd.fodf.field import FodField
from shd.io.atomic import whole_file
from shd.io.fodf import write_fod
from shd.io.tables import write_csv
from shd.io.tractograms import read_streamlines
from shd.report.tractogram_figure import tractogram_figure
from shd.simulation import Phantom
from shd.tracking.settings import ALGORITHMS

TRUTH, OURS = "truth", "shd-base"
MRTRIX = {"SD_STREAM": "SD_STREAM", "iFOD2": "iFOD2"}
CUTOFFS = (0.05, 0.1, 0.2, 0.4)
DEFAULT_CUTOFF = 0.1
LENGTHS = (10.0, 250.0)
RIVALS = {
    "research": ("mrtrix-msmt", "mrtrix-msmt-12"),
    "hardi": ("mrtrix-csd", "mrtrix-msmt"),
    "clinical": ("mrtrix-csd", "mrtrix-msmt"),
}
COLUMNS = {
    "streamlines": "streamlines", "valid": "valid", "invalid": "invalid", "none": "none", "bundles": "bundles",
    "overlap": "overlap", "overreach": "overreach", "f1": "F1",
}  # fmt: skip


class Inputs:
    """The fODFs of one problem by key, each made when it is first asked for and kept in a folder."""

    def __init__(self, problem: Problem, folder: Path) -> None:
        self.phantom: Phantom = problem.make()
        self._folder = folder
        self.truth = Truth.of(self.phantom)
        self.fods: Callable[[str], FodField] = cache(self._fods)

    @property
    def seeds(self) -> np.ndarray:
        return self.truth.scored

    def _fods(self, key: str) -> FodField:
        scan = self.phantom.scan
        if key == TRUTH:
            amounts = {
                tissue: self.truth.tissue_fractions[..., number] / np.sqrt(4 * np.pi)
                for number, tissue in ((1, "gm"), (2, "csf"))
            }
            return FodField(self.truth.ceiling().astype(np.float32), amounts, scan.affine, scan.mask)
        path = self._folder / f"{key}.npz"
        if not path.is_file():
            fod = self._deconvolved(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                np.savez(file, wm=fod.wm.astype(np.float32), **fod.isotropic)
        with np.load(path) as held:
            volumes = {name: held[name] for name in held.files}
        return FodField(volumes.pop("wm"), volumes, scan.affine, scan.mask)

    def _deconvolved(self, key: str) -> FodField:
        scan, responses = self.phantom.scan, self.phantom.responses
        several = len(scan.gradients.weighted_shells) > 1
        ours = responses if several else responses[:1]
        given = separable(responses, scan.gradients) if METHODS[key].rival else ours
        return METHODS[key].run(scan, given, Budget(steps=1))


def by_shd(inputs: Inputs, fod: FodField, algorithm: str, cutoff: float, seeds: int) -> Streamlines:
    """Return the streamlines of `shd track`."""
    tracked = track(
        fod, seeds=inputs.seeds, algorithm=algorithm, cutoff=cutoff, seed_count=seeds,
        min_length=LENGTHS[0], max_length=LENGTHS[1],
    )  # fmt: skip
    return tracked.tractogram.streamlines


def by_mrtrix(inputs: Inputs, fod: FodField, algorithm: str, cutoff: float, seeds: int) -> Streamlines:
    """Return as many streamlines of `tckgen` as there are seeds: it gives up most seeds of narrow lobes at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_fod(folder / "fod.nii", fod.wm, fod.affine)
        for image, voxels in (("seeds", inputs.seeds), ("mask", fod.mask)):
            nib.save(nib.Nifti1Image(voxels.astype(np.uint8), fod.affine), folder / f"{image}.nii")
        command = [
            "tckgen", "fod.nii", "tracks.tck", "-algorithm", algorithm, "-seed_image", "seeds.nii", "-mask", "mask.nii",
            "-select", str(seeds), "-cutoff", str(cutoff), "-minlength", str(LENGTHS[0]),
            "-maxlength", str(LENGTHS[1]), "-quiet",
        ]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return read_streamlines(folder / "tracks.tck")


def follow(inputs: Inputs, key: str, tracker: str, cutoff: float, seeds: int) -> Streamlines:
    """Return the streamlines of a method's fODFs by a tracker of either program."""
    run = by_mrtrix if tracker in MRTRIX else by_shd
    return run(inputs, inputs.fods(key), tracker, cutoff, seeds)


def measure(inputs: Inputs, key: str, tracker: str, cutoff: float, seeds: int) -> dict[str, Any]:
    """Return the scores of one row."""
    inputs.fods(key)
    begin = time.perf_counter()
    streamlines = follow(inputs, key, tracker, cutoff, seeds)
    seconds = time.perf_counter() - begin
    scores = score_tractogram(streamlines, inputs.truth)
    return {
        "method": key, "tracker": tracker, "cutoff": cutoff, "seeds": seeds, "streamlines": scores.streamlines,
        "valid": scores.valid_connections, "invalid": scores.invalid_connections, "none": scores.no_connections,
        "bundles": scores.valid_bundles, "of_bundles": scores.bundles, "overlap": scores.overlap,
        "overreach": scores.overreach, "f1": scores.f1, "seconds": seconds,
    }  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown: for each tracker the methods at the default cutoff, then each at its best."""
    head = ["tracker", "fODFs", "cutoff", *COLUMNS.values()]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for tracker in dict.fromkeys(row["tracker"] for row in rows):
        of_tracker = [row for row in rows if row["tracker"] == tracker]
        for key in dict.fromkeys(row["method"] for row in of_tracker):
            of_method = [row for row in of_tracker if row["method"] == key]
            default = next(row for row in of_method if row["cutoff"] == DEFAULT_CUTOFF)
            best = max(of_method, key=lambda row: row["f1"])
            shown = [(default, "")] if len(of_method) == 1 else [(default, ""), (best, " (best)")]
            for row, note in shown:
                cells = [f"{row[column]:.3f}" for column in COLUMNS if isinstance(row[column], float)]
                counts = [str(row["streamlines"]), *cells[:3], f"{row['bundles']}/{row['of_bundles']}", *cells[3:]]
                name = f"{row['cutoff']:g}{note}"
                lines.append("| " + " | ".join([tracker, title(key), name, *counts]) + " |")
    return "\n".join(lines) + "\n"


def title(key: str) -> str:
    """Return what a method is called in the table."""
    return "truth" if key == TRUTH else METHODS[key].name


def trackers() -> tuple[str, ...]:
    """Return the trackers that run here: MRtrix3's where it is installed."""
    from shutil import which

    return (*ALGORITHMS, *(MRTRIX if which("tckgen") else ()))


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks tractography",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--phantom", default="tangle", help="as in the accuracy tables: tangle, small-isbi, …")
    parser.add_argument("--protocol", default="research", choices=RIVALS)
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1, help="of geometry and noise")
    parser.add_argument("--seeds", type=int, default=3000, help="of shd track, and streamlines of tckgen")
    parser.add_argument(
        "--rivals", nargs="+", default=[], help="keys of the accuracy tables; by default CSD or MSMT-CSD"
    )
    parser.add_argument("--trackers", nargs="+", default=[], help="some of them; by default all that run here")
    parser.add_argument("--cutoffs", type=float, nargs="*", default=CUTOFFS, help="beside the default")
    parser.add_argument("--model", default=OURS, help="key of ours: shd-base, shd-small")
    parser.add_argument("--picture", action="store_true", help="draw the tractograms of the deterministic tracker too")
    parser.add_argument("--out", type=Path, default=Path("tractography"))
    arguments = parser.parse_args(words)
    if arguments.seeds < 1:
        raise MethodError(f"--seeds {arguments.seeds}: give 1 or more")
    chosen_methods([arguments.model])
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print and write the table of one phantom."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    problem = Problem(arguments.phantom, arguments.protocol, arguments.snr, arguments.seed)
    rivals, missing = chosen_methods(arguments.rivals or RIVALS[arguments.protocol])
    for key, reason in missing.items():
        print(f"left out: {key}: {reason}")
    name = f"{problem.phantom}_{problem.protocol}_snr{problem.snr:g}_seed{problem.seed}"
    inputs: Callable[[], Inputs] = cache(lambda: Inputs(problem, arguments.out / "fods" / name))
    rows = []
    for tracker in arguments.trackers or trackers():
        for key in (TRUTH, arguments.model, *rivals):
            for cutoff in (DEFAULT_CUTOFF,) if key == TRUTH else sorted({DEFAULT_CUTOFF, *arguments.cutoffs}):
                cell = arguments.out / "cells" / f"{name}_{key}_{tracker}_{cutoff:g}_{arguments.seeds}.json"
                make = partial(_measure_here, inputs, key, tracker, cutoff, arguments.seeds)
                rows.append(kept(cell, make))
                print(f"{tracker} {key} {cutoff:g}: valid {rows[-1]['valid']:.3f}", flush=True)
    text = table(rows)
    print(f"\n{problem}\n\n{text}")
    with whole_file(arguments.out / f"{name}.md") as file:
        file.write_text(text, encoding="utf-8")
    write_csv(arguments.out / f"{name}.csv", rows)
    if arguments.picture:
        shown = {title(key): follow(inputs(), key, "deterministic", 0.1, arguments.seeds)
                 for key in (TRUTH, arguments.model, *list(rivals)[:1])}  # fmt: skip
        tractogram_figure(arguments.out / f"{name}.png", shown, inputs().truth)
    print(f"wrote {name}.md and .csv in {arguments.out}")


def _measure_here(inputs: Callable[[], Inputs], key: str, tracker: str, cutoff: float, seeds: int) -> dict[str, Any]:
    """Measure a cell; a tracker that finds nothing scores zero."""
    try:
        return measure(inputs(), key, tracker, cutoff, seeds)
    except ShdError as error:
        print(f"{tracker} {key} {cutoff:g}: {error}")
        zero = dict.fromkeys(("valid", "invalid", "overlap", "overreach", "f1", "seconds"), 0.0)
        bundles = len(inputs().phantom.geometry.bundles)
        return {"method": key, "tracker": tracker, "cutoff": cutoff, "seeds": seeds, "streamlines": 0, "none": 1.0,
                "bundles": 0, "of_bundles": bundles, **zero}  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
