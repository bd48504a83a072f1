"""`shd infer`: a trained network on a scan, or on every scan of a list."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shd.cli.early_checks import check_files, check_model
from shd.cli.fit import check_choices
from shd.cli.results import announce, output_folder
from shd.cli.scan_arguments import BVAL, BVEC, GRAD, IGNORE_BAD_VOXELS, MASK, scan_given

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.cohort_subject import Choices
    from shd.io.subjects import Subject

__all__ = ["infer"]


def infer(
    dwi: Path = typer.Argument(help="A scan (NIfTI, .mif); or a list: .tsv, .csv, .txt or a folder of QSIPrep's."),
    bval: Path | None = BVAL,
    bvec: Path | None = BVEC,
    model: str = typer.Option("base", help="base, small, or a model.safetensors or the folder of a fit or training."),
    out: Path = typer.Option(..., help="Folder for the results; of a list, with a folder for each subject."),
    grad: Path | None = GRAD,
    mask: Path | None = MASK,
    wm: Path | None = typer.Option(None, help="White-matter response (MRtrix text); the network's if none."),
    gm: Path | None = typer.Option(None, help="Grey-matter response, with --wm."),
    csf: Path | None = typer.Option(None, help="CSF response, with --wm."),
    degree: int | None = typer.Option(None, help="Degree of the fODFs; 12 if not given."),
    tile: int | None = typer.Option(None, help="Half the side of the boxes in voxels (even); by default what fits."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads (of each worker); by default all are shared."),
    engine: str = typer.Option("auto", help="auto, compiled, torch or reference: equal results, unequal speed."),
    bfloat16: bool = typer.Option(False, "--bfloat16", help="Half precision: a third quicker for wide networks."),
    ignore_bad_voxels: bool = IGNORE_BAD_VOXELS,
    force: bool = typer.Option(False, "--force", help="Replace results in the output folder."),
    scheduler: str | None = typer.Option(None, help="List: address of a dask scheduler that runs, or its JSON file."),
    workers: int | None = typer.Option(None, min=1, help="List: processes on this machine; by default as many as fit."),
    retries: int = typer.Option(2, min=0, help="List: how often a subject is tried again whose worker died."),
) -> None:
    """Apply a trained network to a scan, or to every scan of a list, without training."""
    from shd.io.subject_lists import lists_subjects

    check_choices(None, None, degree, tile, engine)
    listed = lists_subjects(dwi)
    files = {"bval": bval, "bvec": bvec, "grad": grad, "mask": mask, "wm": wm, "gm": gm, "csf": csf}
    if listed:
        _check_absent("one scan; a table has columns for them", **files)
    else:
        _check_absent("a list (.tsv, .csv, .txt or a folder)", scheduler=scheduler, workers=workers)
    check_files(dwi, bval, bvec, grad, mask, out=None if listed else out, force=force, wm=wm, gm=gm, csf=csf)
    check_model(model)
    from shd.cli.cohort_inference import infer_list
    from shd.fitting.cohort_subject import Choices

    choices = Choices(model, degree, tile, device, threads, engine, bfloat16, ignore_bad_voxels, force)
    if not listed:
        _infer_one(scan_given(out, dwi, bval, bvec, grad, mask, wm=wm, gm=gm, csf=csf), out, choices)
        return
    if scheduler and workers:
        raise typer.BadParameter(f"--workers {workers} and --scheduler {scheduler}: give one of them")
    infer_list(dwi, out, choices, scheduler, workers, retries)


def _check_absent(use: str, **options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(f"{', '.join(given)}: only for {use}")


def _infer_one(subject: "Subject", out: Path, choices: "Choices") -> None:
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.cohort_subject import files_read, write_subject
    from shd.fitting.device import usable_device

    usable_device(choices.device)
    inputs = files_read(subject, choices)
    with output_folder(out, choices.force, inputs=inputs) as folder, shown_progress() as report:
        result, files = write_subject(subject, folder, choices, report=report)
    announce(result, files, out)
