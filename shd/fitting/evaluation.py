"""From files to scores: results of any program against a simulated truth, and their files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shd._version import __version__
from shd.errors import EvaluationError
from shd.evaluation.assessment import Assessment, assess_ceiling, assess_fods, assess_peaks
from shd.evaluation.tables import assessment_record, assessment_rows, bundle_rows, tractogram_record
from shd.evaluation.tractogram_scores import Streamlines, TractogramScores, score_tractogram
from shd.evaluation.truth import Truth
from shd.fitting.checked_result import read_checked_result
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, silent
from shd.fodf.field import FodField
from shd.io.atomic import write_json
from shd.io.grids import check_same_grid
from shd.io.peaks import read_peaks
from shd.io.tables import write_csv
from shd.report.evaluation_figure import evaluation_figure
from shd.report.tractogram_figure import tractogram_figure

__all__ = ["assess_results", "named_paths", "read_result", "score_tractograms", "write_evaluation"]

def named_paths(given: Sequence[str]) -> dict[str, Path]:
    """Return the paths of arguments `NAME=PATH` or `PATH` by name; a path alone is named after its file or folder.

    Raises EvaluationError for two of one name, or one named as the ceiling is.
    """
    paths: dict[str, Path] = {}
    for text in given:
        name, equals, rest = text.partition("=")
        if not equals or not name or Path(text).exists():
            name, rest = _stem(Path(text)), text
        if name in paths:
            raise EvaluationError(f"two results are called {name}: {paths[name]} and {rest}; give NAME=PATH")
        if name == "ceiling":
            raise EvaluationError(f"{rest}: the name ceiling is that of the true fODF's row; give NAME=PATH")
        paths[name] = Path(rest)
    return paths


def read_result(path: Path, truth: Truth) -> FodField:
    """Return the fODFs of an image (MRtrix3 basis, scanner axes) or of the output folder of `shd fit` or `shd infer`.

    A folder's gm.nii.gz and csf.nii.gz are read with it. Values that are not finite count as zero. Raises and warns as
    `read_checked_result`, and EvaluationError for another grid than the truth's or fODFs without directions.
    """
    stored = read_checked_result(path)
    wm, affine = stored.fod.wm, stored.fod.affine
    check_same_grid(str(path), wm.shape, affine, "the truth", truth.mask.shape, truth.affine)
    if wm.shape[-1] == 1:
        raise EvaluationError(f"{path}: 1 coefficient a voxel has no direction; give the white-matter fODFs")
    isotropic = {tissue: np.nan_to_num(volume) for tissue, volume in stored.fod.isotropic.items()}
    wm = np.nan_to_num(wm, posinf=0.0, neginf=0.0)
    return FodField(wm, isotropic, truth.affine, wm[..., 0] != 0)


def assess_results(
    truth: Truth,
    fods: Mapping[str, Path],
    peaks: Mapping[str, Path],
    *,
    threshold: float = 0.2,
    report: Report = silent,
) -> list[Assessment]:
    """Return the scores of the ceiling, of fODF results and of peaks images (MRtrix3 layout), in this order.

    Without results there are none, the ceiling's neither. Raises as `read_result`; EvaluationError also for a threshold
    out of range.
    """
    if not fods and not peaks:
        return []
    stages = 1 + len(fods) + len(peaks)
    report(Progress("scoring", 0.0))
    assessments = [assess_ceiling(truth, threshold=threshold)]
    for name, path in fods.items():
        report(Progress("scoring", len(assessments) / stages))
        assessments.append(assess_fods(name, read_result(path, truth), truth, threshold=threshold))
    for name, path in peaks.items():
        report(Progress("scoring", len(assessments) / stages))
        found, affine, _ = read_peaks(path)
        check_same_grid(str(path), found.amplitudes.shape, affine, "the truth", truth.mask.shape, truth.affine)
        assessments.append(assess_peaks(name, found, truth, threshold=threshold))
    return assessments


def score_tractograms(
    truth: Truth, tractograms: Mapping[str, Streamlines], report: Report = silent
) -> dict[str, TractogramScores]:
    """Return the scores of tractograms by name; raises EvaluationError as `score_tractogram`."""
    scores = {}
    for number, (name, streamlines) in enumerate(tractograms.items()):
        report(Progress("tractograms", number / len(tractograms)))
        scores[name] = score_tractogram(streamlines, truth)
    return scores


def write_evaluation(
    folder: OutputFolder,
    truth: Truth,
    assessments: Sequence[Assessment],
    tractograms: Mapping[str, Streamlines],
    scores: Mapping[str, TractogramScores],
    inputs: Mapping[str, Any],
) -> list[Path]:
    """Write the scores' files; return them in their final place.

    evaluation.json; evaluation.csv and .png of fODFs and peaks; bundles.csv and tractograms.png of tractograms. scores:
    of the tractograms. inputs: what was read from where, for evaluation.json. Raises OutputError where a file cannot be
    written.
    """
    target = folder.partial
    write_json(
        target / "evaluation.json",
        {
            "version": __version__,
            "inputs": inputs,
            **({"threshold": assessments[0].threshold} if assessments else {}),
            "results": [assessment_record(result) for result in assessments],
            "tractograms": [tractogram_record(name, each) for name, each in scores.items()],
        },
    )
    if assessments:
        write_csv(target / "evaluation.csv", assessment_rows(assessments))
        title = f"shd evaluate: {inputs.get('truth', '')}"
        evaluation_figure(target / "evaluation.png", assessments, truth, title=title)
    if tractograms:
        write_csv(target / "bundles.csv", bundle_rows(scores))
        tractogram_figure(target / "tractograms.png", tractograms, truth)
    return folder.publish()


def _stem(path: Path) -> str:
    """Return the name that a table gives to a path: without the endings of images and tractograms."""
    name = path.absolute().name
    for ending in (".nii.gz", ".nii", ".trx", ".tck", ".trk"):
        name = name.removesuffix(ending)
    return name
