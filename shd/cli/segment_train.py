"""`shd segment train`: a network that labels voxels, from scans with label images."""

from pathlib import Path
from typing import Any

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import tell, tell_command, tell_files
from shd.cli.results import output_folder, paths_of

__all__ = ["train"]


def train(
    subjects: Path = typer.Argument(help="Table of scans (.tsv, .csv) with a column `label` of label images."),
    out: Path = typer.Option(..., help="Folder for the network; it appears when all is there."),
    network: str | None = typer.Option(None, help="equivariant, or cnn of as many parameters; equivariant."),
    labels: str | None = typer.Option(None, help="Values to learn, as 1,2; by default all above 0 that occur."),
    held_out: float | None = typer.Option(None, min=0, help="Subjects to validate on: a number, or a share; 0.2."),
    validation: Path | None = typer.Option(None, help="List of the subjects to validate on, in place of --held-out."),
    minutes: float | None = typer.Option(None, help="Training time."),
    steps: int | None = typer.Option(None, min=1, help="Training steps in place of minutes; 2000."),
    patch: int | None = typer.Option(None, min=2, help="Side of the boxes in voxels; 16."),
    batch: int | None = typer.Option(None, min=1, help="Boxes a step; 4."),
    foreground: float | None = typer.Option(None, help="Share of boxes drawn around a labelled voxel; 0.5."),
    loss: str | None = typer.Option(None, help="cross-entropy (labels weighted), dice, or both; both."),
    learning_rate: float | None = typer.Option(None, help="Its peak; 0.003."),
    noise: float | None = typer.Option(None, min=0, help="Augment: noise of this deviation, of the mean b=0; 0."),
    turn: bool = typer.Option(False, "--turn", help="Augment: turn boxes by rotations of the cube."),
    patience: int | None = typer.Option(None, min=1, help="Validations without improvement until it stops early."),
    resample: bool = typer.Option(False, "--resample", help="Bring scans to the first one's directions."),
    config: Path | None = typer.Option(None, help="JSON file with any settings, the network's too; options go first."),
    checkpoint_seconds: float | None = typer.Option(None, min=0, help="Most that an interruption can lose; 20."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default all."),
    seed: int | None = typer.Option(None, min=0, help="Seed of everything random; 0."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    force: bool = typer.Option(False, "--force", help="Replace results; forget an interrupted training."),
) -> None:
    """Train a network to label the voxels of raw scans that share one gradient table."""
    if held_out is not None and validation is not None:
        raise typer.BadParameter(f"--held-out {held_out:g} and --validation {validation}: give one of them")
    check_files(subjects, validation, config, out=out, force=force)
    lists = {"subjects": subjects, "validation": validation, "config": config}
    given = {
        "held_out": held_out, "minutes": minutes, "steps": steps, "patch": patch, "batch": batch, "loss": loss,
        "foreground": foreground, "learning_rate": learning_rate, "noise": noise, "turn": turn or None,
        "patience": patience, "checkpoint_seconds": checkpoint_seconds, "seed": seed, "device": device,
    }  # fmt: skip
    chosen = {name: value for name, value in given.items() if value is not None}
    _train(out, lists, chosen, network, labels, resample, ignore_bad_voxels, threads, force)


def _train(
    out: Path,
    lists: dict[str, Path | None],
    given: dict[str, Any],
    network: str | None,
    labels: str | None,
    resample: bool,
    ignore_bad_voxels: bool,
    threads: int | None,
    force: bool,
) -> None:
    import torch

    from shd.cli.progress_bar import shown_progress
    from shd.fitting.device import usable_device
    from shd.fitting.segment_choices import label_values, segmentation_choices
    from shd.fitting.segment_outputs import write_segmenter_training
    from shd.fitting.segment_training import train_segmenter
    from shd.io.subject_inputs import used_files
    from shd.io.subjects import read_subjects

    given["device"] = usable_device(given.get("device"))
    settings, shape = segmentation_choices(given, lists["config"], network)
    values = label_values(labels)
    subjects, watched = (read_subjects(path) if path else () for path in (lists["subjects"], lists["validation"]))
    if threads:
        torch.set_num_threads(threads)
    read = [path for each in (*subjects, *watched) for path in used_files(each, labelled=True)[0].values()]
    with output_folder(out, force, inputs=[*lists.values(), *read]) as folder, shown_progress() as report:
        if folder.checkpoint.exists():
            tell(f"going on with the interrupted training in {folder.partial}")
        result = train_segmenter(
            subjects, settings, shape, validation=watched, labels=values, resample=resample,
            ignore_bad_voxels=ignore_bad_voxels, checkpoint=folder.checkpoint, log=folder.partial / "log.csv",
            report=report,
        )  # fmt: skip
        files = write_segmenter_training(folder, result, paths_of(**lists))
    where = "held-out scans" if result.held_out else "the scans learned from"
    for name, title in ((f"{result.on}_average_precision", "average precision"), (result.on, "loss")):
        if name in result.best:
            tell(f"{title} on {where}: {result.history[0][name]:.4g} at first, {result.best[name]:.4g} at best")
    tell_files(files, out, "; next, for example")
    tell_command(f"shd segment predict {out / 'model.safetensors'} dwi.nii.gz --out predicted")
