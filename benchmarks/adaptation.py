"""A network trained before, and the same adapted to the scan: held-out directions and peaks, beside a fit of the scan.

    python -m benchmarks adaptation [--model base] [--scan dwi.nii.gz …] [--phantom small-tangle] [--protocol research]
                                    [--minutes 0.25,0.5,1,2] [--fit-minutes 1] [--folds 5] [--out DIR]

The scans are `small_64D` of the dipy package and any given (gradients, mask and responses beside them, as held_out
takes them), then phantoms of held-out seeds, `--phantom none` for no phantom. 0 minutes is `shd infer`, more are
`shd fit` from the network's weights; the row "from nothing" is a fit of the scan alone. Held-out error: root mean
square of the directions held out, in units of the noise. Ratio: that over the error of the fit from nothing; at most
1.1 is wanted before adaptation and less than 1 after. Main peak: angle to the fit's, median over voxels with an
anisotropy from 0.2; at most 5° is wanted. F1 and error: against the truth of a phantom, peaks from a tenth of the
highest. Finished results are kept in DIR/cells.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy_table.cells import scores_of
from benchmarks.accuracy_table.kept import kept
from benchmarks.accuracy_table.problems import Problem
from benchmarks.deconvolvers.methods import MethodError
from benchmarks.deconvolvers.pretrained import ESTIMATE, answer, missing_model
from benchmarks.harness.program import errors_in_one_line
from benchmarks.held_out import Subject, read_subject
from shd.evaluation.assessment import assess_fods
from shd.evaluation.cross_validation import cross_validate
from shd.evaluation.split_half import anisotropic_voxels, peak_agreement
from shd.evaluation.truth import Truth
from shd.fitting.budget import default_settings
from shd.fitting.fit import fit
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.io.atomic import whole_file, write_json
from shd.scans.scan import Scan
from shd.signal.response import Response

NOTHING = "none"
"""The start of a fit that begins with the estimate, as `FitSettings` names it."""

FIRST_SEED = 1000
COLUMNS = ("scan", "network", "minutes", "held-out error", "ratio", "main peak", "F1", "error")
_THRESHOLD = 0.1  # of the voxel's highest peak
_PEAKS = 5


@dataclass(frozen=True)
class Start:
    """Where the network comes from, and how long it trains on the scan."""

    model: str
    minutes: float

    def fods(self, scan: Scan, responses: tuple[Response, ...]) -> FodField:
        """Return the fODFs: of `shd infer` after no training, of `shd fit` after some."""
        if self.minutes == 0:
            return answer(self.model, scan, responses)
        start = NOTHING if self.model == ESTIMATE else self.model
        settings = default_settings(int(scan.mask.sum()), minutes=self.minutes, start=start)
        return fit(scan, responses, settings).fod

    def __str__(self) -> str:
        """Return what its result is kept under."""
        return f"{Path(self.model).stem}_{self.minutes:g}min"


class Case:
    """One scan and the fit of it alone that the others are compared with. truth: of a phantom."""

    def __init__(self, subject: Subject, reference: Start, folds: int, truth: Truth | None = None) -> None:
        self.subject, self.reference, self.folds, self.truth = subject, reference, folds, truth

    @cached_property
    def fitted(self) -> FodField:
        """The fODFs of the fit, made once and only where a result is missing."""
        return self.reference.fods(self.subject.scan, self.subject.responses)

    def measure(self, start: Start) -> dict[str, Any]:
        """Return held-out error, main angle to the fit's peaks, and on a phantom F1 and angular error."""
        scan, responses = self.subject.scan, self.subject.responses
        prediction = cross_validate(start.fods, scan, responses, folds=self.folds)
        field = self.fitted if start == self.reference else start.fods(scan, responses)
        voxels = anisotropic_voxels(scan)
        first, second = (
            find_peaks(f.wm[voxels], count=_PEAKS, relative_threshold=_THRESHOLD) for f in (field, self.fitted)
        )
        found = {"relative": prediction.relative, "main_angle": peak_agreement(first, second, voxels).main_angle}
        if self.truth is not None:
            scores = scores_of(assess_fods(str(start), field, self.truth, threshold=_THRESHOLD))
            found |= {"f1": scores["f1"], "error": scores["error"]}
        return found


def cases_of(arguments: argparse.Namespace, reference: Start) -> list[Case]:
    """Return the scans asked for, then the phantoms, with the exact responses."""
    subjects = [read_subject(image) for image in (None, *arguments.scans)]
    cases = [Case(subject, reference, arguments.folds) for subject in subjects]
    for problem in arguments.problems:
        phantom = problem.make()
        name = f"{problem.phantom}-{problem.protocol}-{problem.seed}"
        subject = Subject(name, phantom.scan, phantom.responses)
        cases.append(Case(subject, reference, arguments.folds, Truth.of(phantom)))
    return cases


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks adaptation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="base", help='a packaged network, or "estimate"')
    parser.add_argument("--scan", type=Path, nargs="*", default=[], dest="scans")
    parser.add_argument("--phantom", default="small-tangle", help="with commas between, or none")
    parser.add_argument("--protocol", default="research,clinical", help="of the phantoms, with commas between")
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=1, help=f"how many phantoms, from seed {FIRST_SEED} on")
    parser.add_argument("--minutes", default="0.25,0.5,1,2", help="of adaptation, with commas between")
    parser.add_argument("--fit-minutes", type=float, default=1.0, help="of the fit from nothing")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("adaptation"))
    arguments = parser.parse_args(words)
    arguments.adapted = _minutes(arguments.minutes)
    if not arguments.fit_minutes > 0:
        raise MethodError(f"--fit-minutes {arguments.fit_minutes:g}: training needs more than 0")
    if arguments.seeds < 1:
        raise MethodError(f"--seeds {arguments.seeds}: at least 1 phantom is needed, or --phantom none")
    reason = missing_model(arguments.model)
    if reason:
        raise MethodError(f"--model {arguments.model}: {reason}")
    phantoms = [] if arguments.phantom == NOTHING else arguments.phantom.split(",")
    arguments.problems = [
        Problem(phantom, protocol, arguments.snr, FIRST_SEED + seed)
        for phantom in phantoms
        for protocol in arguments.protocol.split(",")
        for seed in range(arguments.seeds)
    ]
    return arguments


def _minutes(words: str) -> list[float]:
    try:
        minutes = sorted(float(word) for word in words.split(",") if word)
    except ValueError:
        raise MethodError(f"--minutes {words}: numbers with commas between") from None
    if minutes and not minutes[0] > 0:
        raise MethodError(f"--minutes {words}: each more than 0; shd infer, of 0 minutes, is a row in any case")
    return minutes


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print a row a scan and start, and write them."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    reference = Start(NOTHING, arguments.fit_minutes)
    starts = [reference, *(Start(arguments.model, minutes) for minutes in (0.0, *arguments.adapted))]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    print("\n".join(lines), flush=True)
    records = []
    for case in cases_of(arguments, reference):
        rows: dict[Start, dict[str, Any]] = {}
        for start in starts:
            path = arguments.out / "cells" / f"{case.subject.name}_{start}_{reference}_{case.folds}folds.json"
            rows[start] = kept(path, partial(case.measure, start))
            ratio = rows[start]["relative"] / rows[reference]["relative"]
            lines.append(line(case.subject.name, start, rows[start], ratio))
            print(lines[-1], flush=True)
            records.append({"scan": case.subject.name, **vars(start), **rows[start], "ratio": ratio})
    with whole_file(arguments.out / "adaptation.md") as file:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(arguments.out / "adaptation.json", {"folds": arguments.folds, "rows": records})
    print(f"\nwrote adaptation.md and .json in {arguments.out}")


def line(scan: str, start: Start, found: dict[str, Any], ratio: float) -> str:
    """Return a row in Markdown."""
    truth = [f"{found['f1']:.3f}", f"{found['error']:.1f}°"] if "f1" in found else ["–", "–"]
    network = "from nothing" if start.model == NOTHING else Path(start.model).stem
    words = [
        scan, network, f"{start.minutes:g}", f"{found['relative']:.3f}", f"{ratio:.3f}", f"{found['main_angle']:.1f}°",
        *truth,
    ]  # fmt: skip
    return "| " + " | ".join(words) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
