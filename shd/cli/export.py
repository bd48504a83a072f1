"""`shd export`: a result for the other programs of the field."""

from pathlib import Path
from shlex import quote

import typer

from shd.cli.early_checks import check_files
from shd.cli.export_bids import check_bids, export_bids
from shd.cli.messages import tell, tell_command
from shd.cli.results import said_if_interrupted
from shd.errors import number_of

__all__ = ["export"]


def export(
    out: Path = typer.Argument(help="Folder of shd fit or shd infer, or an fODF image (MRtrix3 basis, scanner axes)."),
    to: str = typer.Option(..., "--to", help="Formats, with commas between; docs/export.md lists them."),
    dest: Path | None = typer.Option(None, help="Folder for the files; by default export/ in OUT; bids has none."),
    degree: int | None = typer.Option(None, help="Write harmonics up to this even degree; by default all."),
    mask: Path | None = typer.Option(None, help="Export these voxels only; by default those that were fitted."),
    basis: str = typer.Option("descoteaux07_legacy", help="dipy-sh, pam5: basis, one of DIPY's four."),
    sphere: str = typer.Option("repulsion724", help="odf, pam5: DIPY's name of the directions."),
    fixel_format: str = typer.Option("mif", help="fixels: mif or nii (NIfTI-2)."),
    subject: str | None = typer.Option(None, help="bids: label of the participant, as 01."),
    session: str | None = typer.Option(None, help="bids: label of the session, if any."),
    space: str | None = typer.Option(None, help="bids: label of the space that the scan lies in, as ACPC."),
    template: str = typer.Option("bep016", help="bids: names: bep016, qsirecon, or a JSON or INI file of patterns."),
    force: bool = typer.Option(False, "--force", help="Replace files that exist."),
) -> None:
    """Write a result in the formats of MRtrix3, DIPY, scilpy, TractSeg and DSI Studio."""
    formats = [name.strip() for name in to.split(",") if name.strip()]
    participant = check_bids(formats, dest, subject, degree, mask) if "bids" in formats else None
    check_files(out, mask)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.export import export as write_formats
    from shd.fitting.export import export_folder, read_source
    from shd.fitting.exports.format import Choices

    choices = Choices(basis=basis, sphere=sphere, fixel_format=fixel_format)
    if participant is not None and dest is not None:
        export_bids(out, dest, participant, session, space, template, force)
        return
    dest = dest or export_folder(out)
    source = read_source(out, degree, mask)
    with said_if_interrupted(dest), shown_progress() as report:
        written = write_formats(source, formats, dest, choices, force, report)
    for name, files in written.items():
        tell(f"{name}: {', '.join(file.name for file in files)}")
    tell(
        f"wrote {number_of(sum(map(len, written.values())), 'file')} in {dest}; docs/export.md says how each program "
        "opens them"
    )
    if "mrtrix-fod" in written:
        fod = quote(str(written["mrtrix-fod"][0]))
        tell_command(f"mrview {fod} -odf.load_sh {fod}")
