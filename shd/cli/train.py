"""`shd train`: one network for any scan, from many."""

import os
from pathlib import Path
from typing import Any

import typer

from shd.cli.early_checks import check_files, check_model
from shd.cli.messages import tell, tell_files
from shd.cli.results import output_folder, paths_of

__all__ = ["train"]


def train(
    out: Path = typer.Option(..., help="Folder for the network; it appears when all is there."),
    subjects: Path | None = typer.Option(None, help="Measured scans: .tsv, .csv, .txt or a folder of QSIPrep's."),
    group_response: Path | None = typer.Option(None, help="Folder with the response_*.txt of all subjects."),
    simulated: int | None = typer.Option(None, min=0, help="How many different simulated scans; 1000."),
    boxes: int | None = typer.Option(None, min=1, help="Boxes of each subject; 8."),
    held_out: float | None = typer.Option(None, min=0, help="Subjects to validate on: a number, or a share; 0.1."),
    minutes: float | None = typer.Option(None, help="Training time."),
    steps: int | None = typer.Option(None, min=1, help="Training steps in place of minutes; 10000."),
    width: int | None = typer.Option(None, min=1, help="Channels of the network; 16."),
    levels: int | None = typer.Option(None, min=1, help="Spheres of the network; 4."),
    batch: int | None = typer.Option(None, min=1, help="Examples a step, over all processes; 2."),
    side: int | None = typer.Option(None, min=4, help="Side of the boxes in voxels (even); 16."),
    tile: int | None = typer.Option(None, help="Side of the part of a box that a step takes; by default all."),
    signal: float | None = typer.Option(None, min=0, help="Weight of the loss without truth; 0.1 with --subjects."),
    learning_rate: float | None = typer.Option(None, help="Its peak; 0.001."),
    patience: int | None = typer.Option(None, min=1, help="Validations without improvement until it stops early."),
    start: str | None = typer.Option(None, help="Network to go on from: base, small, a file or a folder."),
    config: Path | None = typer.Option(None, help="JSON file with any of the settings; options go first."),
    keep: Path | None = typer.Option(None, help="Folder to keep examples in, once made, with their estimates."),
    workers: int | None = typer.Option(None, min=0, help="Processes that make examples; 0: in between steps."),
    checkpoint_seconds: float | None = typer.Option(None, min=0, help="Most that an interruption can lose; 20."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads (of each process); by default all."),
    seed: int | None = typer.Option(None, min=0, help="Seed of everything random; 0."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    force: bool = typer.Option(False, "--force", help="Replace results; forget an interrupted training."),
) -> None:
    """Train one network on many scans, simulated or measured, for any protocol; `torchrun … -m shd train` shares it."""
    writes = os.environ.get("RANK", "0") == "0"  # of several processes the first alone
    check_files(subjects, group_response, config, out=out if writes else None, force=force)
    if start is not None:
        check_model(start)
    inputs = paths_of(subjects=subjects, group_response=group_response, config=config, keep=keep)
    given = {
        "simulated": simulated, "boxes": boxes, "held_out": held_out, "minutes": minutes, "steps": steps,
        "width": width, "levels": levels, "batch": batch, "side": side, "tile": tile, "signal": signal,
        "learning_rate": learning_rate, "patience": patience, "workers": workers,
        "checkpoint_seconds": checkpoint_seconds, "device": device, "seed": seed,
    }  # fmt: skip
    _train(out, inputs, start, {n: v for n, v in given.items() if v is not None}, threads, ignore_bad_voxels, force)


def _train(
    out: Path,
    inputs: dict[str, str],
    start: str | None,
    given: dict[str, Any],
    threads: int | None,
    ignore_bad_voxels: bool,
    force: bool,
) -> None:
    from contextlib import ExitStack
    from dataclasses import replace

    import torch

    from shd.cli.progress_bar import shown_progress
    from shd.fitting.device import usable_device
    from shd.fitting.progress import silent
    from shd.fitting.train import train as train_network
    from shd.fitting.train_choices import choices_of
    from shd.fitting.training_outputs import write_training
    from shd.io.subject_inputs import used_files
    from shd.io.subjects import read_subjects
    from shd.training.distributed import joined_processes
    from shd.training.watch import HELD_OUT

    paths = {name: Path(path) for name, path in inputs.items()}
    settings, plan = choices_of(given, paths.get("config"), "subjects" in paths)
    subjects = read_subjects(paths["subjects"]) if "subjects" in paths else ()
    if threads:
        torch.set_num_threads(threads)
    read = [*paths.values(), start, *(path for subject in subjects for path in used_files(subject)[0].values())]
    again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0  # after a process died: what is saved is wanted
    with ExitStack() as stack:
        processes, device = stack.enter_context(joined_processes(usable_device(settings.device)))
        settings = replace(settings, device=device)
        making = output_folder(out, force, force and not again, inputs=read)
        folder = stack.enter_context(making) if processes.first else None
        if folder and folder.checkpoint.exists():
            tell(f"going on with the interrupted training in {folder.partial}")
        result = train_network(
            settings, plan, subjects, group=paths.get("group_response"), start=start, keep=paths.get("keep"),
            ignore_bad_voxels=ignore_bad_voxels, processes=processes,
            checkpoint=folder.checkpoint if folder else None, log=folder.partial / "log.csv" if folder else None,
            report=stack.enter_context(shown_progress()) if folder else silent,
        )  # fmt: skip
        if folder:
            files = write_training(folder, result, inputs | {"start": start})
            title = "held-out loss" if result.on == HELD_OUT else "loss on other boxes of the subjects learned from"
            tell(f"{title}: {result.history[0][result.on]:.4g} at first, {result.best_loss:.4g} at best")
            tell_files(files, out)
