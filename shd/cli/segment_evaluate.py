"""`shd segment evaluate`: predicted probabilities against label images."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from shd.cli.early_checks import check_files
from shd.cli.messages import tell_files
from shd.cli.results import output_folder, paths_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.segment_evaluation import SegmentationScores

__all__ = ["evaluate"]


def evaluate(
    predicted: Path = typer.Argument(help="Folder of shd segment predict: of one scan, or of a list."),
    truth: Path = typer.Argument(help="Label image; or the list of subjects (.tsv, .csv) with a column `label`."),
    out: Path = typer.Option(..., help="Folder for scores.csv, scores.json and curves.png."),
    threshold: float | None = typer.Option(None, help="Probability taken for the label; by default training's choice."),
    overlap: float = typer.Option(0.1, help="Share of a lesion's voxels that must be predicted for it to be found."),
    force: bool = typer.Option(False, "--force", help="Replace results in the output folder."),
) -> None:
    """Score probabilities: ROC AUC, average precision, Dice, and lesions found and invented."""
    check_files(predicted, truth, out=out, force=force)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.segment_evaluation import evaluate_segmentations, scored_pairs, write_segmentation_scores

    pairs = scored_pairs(predicted, truth)
    with output_folder(out, force, inputs=[predicted, truth]) as folder, shown_progress() as report:
        scores, drawn = evaluate_segmentations(pairs, threshold=threshold, overlap=overlap, report=report)
        files = write_segmentation_scores(folder, scores, drawn, paths_of(predicted=predicted, truth=truth))
    Console().print(_table(scores))
    tell_files(files, out, f"; look at {out / 'curves.png'}")


def _table(scores: "list[SegmentationScores]") -> Table:
    """Return a row a subject and label: means nothing where a column is –."""
    from rich import box

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", overflow="ellipsis")
    for heading in ("label", "AUC", "avg. prec.", "Dice .5", "Dice", "at", "lesions found", "false"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in scores:
        voxels, lesions = each.voxels, each.lesions
        numbers = ["–"] * 5
        if voxels is not None:
            numbers = [
                f"{value:.3f}"
                for value in (voxels.roc_auc, voxels.average_precision, voxels.dice, voxels.dice_at, voxels.threshold)
            ]
        counts = [f"{lesions.found} of {lesions.lesions}", str(lesions.false)]
        table.add_row(each.subject, str(each.label), *numbers, *counts)
    return table
