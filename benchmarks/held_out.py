"""Real scans without truth: held-out gradient directions, and the agreement of two halves, for several methods.

    python -m benchmarks held_out [--methods dipy-csd,mrtrix-msmt,rumba-tv,shd-fit] [--folds 5] [--minutes 1]
                                  [--scan dwi.nii.gz …] [--out DIR]

The scan is `small_64D` of the dipy package unless others are given, with gradient files named as the image, mask.nii.gz
and response_wm.txt (response_gm.txt, response_csf.txt) in the same folder where there are any; responses are estimated
otherwise, once for all methods and folds. Prediction: root mean square error of the directions held out, in units of
the noise; ratio: ours over the method's, below 1 where ours predicts better. Halves: angle between the main peaks of
both (median), share of voxels with equally many, F1 between the peaks. Finished results are kept in DIR/cells.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dipy.data import get_fnames

from benchmarks.accuracy_table.kept import kept
from benchmarks.deconvolvers.free_diffusion import with_free_diffusion
from benchmarks.deconvolvers.methods import METHODS, OURS, Method, MethodError, Run, chosen_methods
from benchmarks.deconvolvers.richardson_lucy import richardson_lucy
from benchmarks.deconvolvers.training import Budget
from benchmarks.harness.program import errors_in_one_line
from shd.evaluation.cross_validation import cross_validate
from shd.evaluation.split_half import split_half
from shd.io.atomic import whole_file
from shd.io.responses import read_given_responses
from shd.io.scans import read_scan
from shd.scans.scan import Scan, without_sparse_shells
from shd.signal.response import TISSUES, Response
from shd.signal.response_estimation import estimate_responses

COLUMNS = ("scan", "method", "training", "held-out error", "ratio", "main peak °", "equal counts", "F1 of halves")
THRESHOLD = 0.1  # of the voxel's highest peak, in both halves

# Tissues that a method gets in any case: DIPY's RUMBA always has both, MSMT-CSD of one shell is used with CSF.
_TISSUES = {
    "rumba-sd": ("gm", "csf"), "rumba-tv": ("gm", "csf"), "mrtrix-msmt": ("csf",), "mrtrix-msmt-12": ("csf",),
    "dipy-msmt": ("csf",), "dipy-msmt-12": ("csf",),
}  # fmt: skip


def predicting(key: str, method: Method) -> Run:
    """Return what makes the fODFs that predict: RUMBA's as they are, where for peaks they are smoothed."""
    if key not in ("rumba-sd", "rumba-tv"):
        return method.run
    variation = key == "rumba-tv"
    return lambda scan, responses, _: richardson_lucy(scan, responses, variation=variation, smoothing_degrees=0.0)


@dataclass(frozen=True, eq=False)
class Subject:
    """A scan with the responses that every method gets."""

    name: str
    scan: Scan
    responses: tuple[Response, ...]


def read_subject(image: Path | None) -> Subject:
    """Return a scan from its files, `small_64D` of the dipy package where there are none."""
    if image is None:
        files = [Path(path) for path in get_fnames(name="small_64D")]
        scan, name = read_scan(files[0], files[1], files[2]), "small_64D"
    else:
        mask = image.with_name("mask.nii.gz")
        scan = read_scan(image, mask=mask if mask.is_file() else None, ignore_bad_voxels=True)
        name = image.resolve().parent.name
    scan = without_sparse_shells(scan)
    files_of = {} if image is None else {t: image.with_name(f"response_{t}.txt") for t in TISSUES}
    responses = read_given_responses({t: path for t, path in files_of.items() if path.is_file()}, scan)
    if responses is None:
        responses, _ = estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)
    return Subject(name, scan, responses)


def measure(subject: Subject, key: str, method: Method, budget: Budget, folds: int) -> dict[str, Any]:
    """Return a method's scores on one scan."""
    responses = with_free_diffusion(subject.responses, _TISSUES.get(key, ()))
    run = predicting(key, method)
    prediction = cross_validate(lambda scan, given: run(scan, given, budget), subject.scan, responses, folds=folds)
    agreement = split_half(
        lambda scan, given: method.run(scan, given, budget), subject.scan, responses, threshold=THRESHOLD
    )
    return {
        "relative": prediction.relative,
        "shells": [shell.bvalue for shell in prediction.shells],
        "relative_by_shell": [shell.relative for shell in prediction.shells],
        "main_angle": agreement.main_angle,
        "equal_counts": agreement.equal_counts,
        "f1": agreement.f1,
        "voxels": agreement.voxels,
    }


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks held_out", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default="dipy-csd,mrtrix-msmt,rumba-tv,shd-fit", help="with commas between")
    parser.add_argument("--scan", type=Path, nargs="*", default=[None], dest="scans")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1.0, help="of training, for every fold and half")
    parser.add_argument("--steps", type=int, help="of training, in place of minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("held_out"))
    arguments = parser.parse_args(words)
    if arguments.steps is None and not arguments.minutes > 0:
        raise MethodError(f"--minutes {arguments.minutes:g}: training needs more than 0")
    if arguments.steps is not None and arguments.steps < 1:
        raise MethodError(f"--steps {arguments.steps}: training needs at least 1")
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print a row a scan and method, and write them as Markdown."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    methods, missing = chosen_methods(arguments.methods.split(","))
    for key, reason in missing.items():
        print(f"left out: {key}: {reason}")
    budget = Budget(None if arguments.steps else arguments.minutes, arguments.steps, arguments.seed)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for image in arguments.scans:
        subject = read_subject(image)
        results = {}
        for key, method in methods.items():
            print(f"{subject.name}: {method.name}", flush=True)
            results[key] = _cell(arguments.out / "cells", subject, key, method, budget, arguments.folds)
        lines += [_line(subject.name, key, results, budget) for key in methods]
    print("\n".join(["", *lines]))
    path = arguments.out / "held_out.md"
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"\nwrote {path}; ratios at or below 1 mean that ours predicts at least as well")


def _cell(folder: Path, subject: Subject, key: str, method: Method, budget: Budget, folds: int) -> dict[str, Any]:
    words = [subject.name, key, f"{folds}folds"]
    if method.trained:
        words += [f"seed{budget.seed}", str(budget).replace(" ", "")]
    return kept(folder / ("_".join(words) + ".json"), lambda: measure(subject, key, method, budget, folds))


def _line(scan: str, key: str, results: dict[str, dict[str, Any]], budget: Budget) -> str:
    scores, method = results[key], METHODS[key]
    ratio = f"{results[OURS]['relative'] / scores['relative']:.3f}" if OURS in results else "–"
    cells = (
        scan, method.name, str(budget) if method.trained else "–", f"{scores['relative']:.3f}", ratio,
        f"{scores['main_angle']:.1f}", f"{scores['equal_counts']:.2f}", f"{scores['f1']:.3f}",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
