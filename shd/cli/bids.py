"""`shd bids`: a BIDS App over preprocessed derivatives."""

from enum import Enum
from pathlib import Path

import typer

from shd.cli.bids_levels import Asked
from shd.cli.early_checks import check_model
from shd.cli.fit import check_choices
from shd.errors import ScanError

__all__ = ["bids"]


class Level(str, Enum):
    """What a BIDS App is asked to do."""

    participant = "participant"
    group = "group"


def bids(
    source: Path = typer.Argument(metavar="BIDS_DERIVATIVES", help="Folder that QSIPrep, or one like it, wrote."),
    out: Path = typer.Argument(metavar="OUT", help="Folder for the derivatives, such as derivatives/shd."),
    level: Level = typer.Argument(help="participant: fODFs of each scan. group: mean responses and a table."),
    participant_label: list[str] = typer.Option(
        [], "--participant-label", "--participant_label", help="Participants, with or without sub-; by default all."
    ),
    session_label: list[str] = typer.Option(
        [], "--session-label", "--session_label", help="Sessions, with or without ses-; by default all."
    ),
    responses: str = typer.Option("own", help="own of each scan; group, of the group level; or a folder with them."),
    template: str = typer.Option("bep016", help="Names: bep016, qsirecon, or a JSON or INI file of patterns."),
    model: str = typer.Option("base", help="base, small, or a model.safetensors or the folder of a fit or training."),
    degree: int | None = typer.Option(None, show_default="12", help="Degree of the fODFs."),
    tile: int | None = typer.Option(None, help="Half the side of the boxes in voxels (even); by default what fits."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads (of each worker); by default all are shared."),
    engine: str = typer.Option("auto", help="auto, compiled, torch or reference: equal results, unequal speed."),
    bfloat16: bool = typer.Option(False, "--bfloat16", help="Half precision: a third quicker for wide networks."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    n_workers: int | None = typer.Option(None, "--n-workers", "--workers", min=1, help="Processes; as many as fit."),
    scheduler: str | None = typer.Option(None, help="Address of a dask scheduler that runs, or its JSON file."),
    retries: int = typer.Option(2, min=0, help="How often a scan is tried again whose worker died."),
    work_dir: Path | None = typer.Option(None, "--work-dir", "-w", help="Folder for .work (unfinished); default OUT."),
    skip_bids_validation: bool = typer.Option(False, "--skip-bids-validation", help="Take a folder that does not say "
        "it is a BIDS dataset."),
    force: bool = typer.Option(False, "--force", help="Compute everything again, and replace results."),
) -> None:  # fmt: skip
    """Compute fODFs of a BIDS dataset's participants, or their group's responses."""
    check_choices(None, None, degree, tile, engine)
    if not source.is_dir():
        raise ScanError(f"{source}: no such folder; give the folder that QSIPrep wrote")
    check_model(model)
    if scheduler and n_workers:
        raise typer.BadParameter(f"--n-workers {n_workers} and --scheduler {scheduler}: give one of them")
    from shd.cli.bids_levels import average_group, infer_participants
    from shd.fitting.cohort_subject import Choices

    asked = Asked(source, out, tuple(participant_label), tuple(session_label), template, work_dir, skip_bids_validation)
    if level is Level.group:
        average_group(asked, responses, force)
        return
    choices = Choices(model, degree, tile, device, threads, engine, bfloat16, ignore_bad_voxels, force)
    infer_participants(asked, responses, choices, scheduler, n_workers, retries)
