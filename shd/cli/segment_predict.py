"""`shd segment predict`: a trained segmentation on a scan, or on every scan of a list."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import complain, tell, tell_command, tell_files
from shd.cli.results import output_folder
from shd.errors import ShdError, number_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.io.segmenters import StoredSegmenter
    from shd.io.subjects import Subject

__all__ = ["predict"]


def predict(
    model: Path = typer.Argument(help="What shd segment train wrote: its folder, or model.safetensors."),
    dwi: Path = typer.Argument(help="Preprocessed scan, NIfTI; or a list: .tsv, .csv, .txt or a folder of QSIPrep's."),
    bval: Path | None = typer.Argument(None, help="FSL b-values (s/mm²); by default the .bval beside the scan."),
    bvec: Path | None = typer.Argument(None, help="FSL gradient directions; by default the .bvec beside the scan."),
    out: Path = typer.Option(..., help="Folder for the results; of a list, with a folder for each subject."),
    grad: Path | None = typer.Option(None, help="MRtrix gradient table (.b: x y z b) instead of bval and bvec."),
    mask: Path | None = typer.Option(None, help="Brain mask; computed if not given."),
    resample: bool = typer.Option(False, "--resample", help="Bring the scan to the network's directions."),
    tile: int = typer.Option(24, min=1, help="Longest side of the boxes in voxels: memory, not results."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default all."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    force: bool = typer.Option(False, "--force", help="Replace results in the output folder."),
) -> None:
    """Write the probability of each label in every voxel of a scan, and the likeliest one."""
    from shd.io.model_files import model_file
    from shd.io.subject_lists import lists_subjects

    model = model_file(model, ())
    listed = lists_subjects(dwi)
    check_files(dwi, bval, bvec, grad, mask, out=None if listed else out, force=force)
    import torch

    from shd.fitting.device import usable_device
    from shd.fitting.segment_prediction import subjects_of
    from shd.io.segmenters import read_segmenter

    if threads:
        torch.set_num_threads(threads)
    stored = read_segmenter(model, usable_device(device))
    subjects = subjects_of(dwi, out, {"bval": bval, "bvec": bvec, "grad": grad, "mask": mask})
    failed = []
    for folder, subject in subjects:
        try:
            _predict(model, stored, subject, folder, resample, ignore_bad_voxels, tile, force, skip=listed)
        except ShdError as error:
            if not listed:
                raise
            complain("failed", "bold red", f"{subject.name}: {error}")
            failed.append(subject.name)
    if failed:
        complain(
            "error", "bold red", f"{len(failed)} of {number_of(len(subjects), 'subject')} failed: {', '.join(failed)}"
        )
        raise typer.Exit(2)
    tell("with label images, next:")
    tell_command(f"shd segment evaluate {out} {dwi if listed else 'label.nii.gz'} --out scores")


def _predict(
    model: Path,
    stored: "StoredSegmenter",
    subject: "Subject",
    out: Path,
    resample: bool,
    ignore_bad_voxels: bool,
    tile: int,
    force: bool,
    *,
    skip: bool,
) -> None:
    """Predict one subject; `skip`: leave a result of these inputs as it is, unless `force`."""
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.segment_prediction import is_predicted, predict_subject, prediction_choices, write_prediction
    from shd.io.subject_inputs import inputs_of, used_files

    choices = prediction_choices(model, resample, ignore_bad_voxels)
    if skip and not force and is_predicted(out, subject, choices):
        tell(f"{subject.name}: finished already, in {out}")
        return
    files = [model, *used_files(subject)[0].values()]
    with output_folder(out, force, inputs=files) as folder, shown_progress() as report:
        inputs = {**inputs_of(subject), **choices}
        scan, chances = predict_subject(
            stored, subject, resample=resample, ignore_bad_voxels=ignore_bad_voxels, tile=tile, report=report
        )
        files = write_prediction(folder, stored, scan, chances, inputs)
    tell_files(files, out)
