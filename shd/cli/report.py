"""`shd report`: a page of results."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shd.cli.messages import complain, tell
from shd.cli.results import said_if_interrupted

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.report import Reported

__all__ = ["report"]


def report(
    folders: list[Path] = typer.Argument(metavar="OUT", help="Folders of shd fit, infer or normalise."),
    out: Path = typer.Option(Path("report.html"), help="Page, a single file."),
    force: bool = typer.Option(False, "--force", help="Replace an existing page."),
) -> None:
    """Make a page of one or many results: pictures, numbers, what to look at; opens anywhere, without a network."""
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.report import write_report

    with said_if_interrupted(out), shown_progress() as progress:
        written = write_report(folders, out, force=force, report=progress)
    _announce(written)


def _announce(written: "Reported") -> None:
    """Say what the page says is to be looked at, and where it is."""
    for result in written.results:
        for concern in result.concerns:
            complain("look", "yellow", f"{result.name}: {concern}")
    for column, far in written.far.items():
        names = ", ".join(f"{name} ({score:+.1f})" for name, score in far.items())
        complain("far from the others", "yellow", f"{column}: {names}")
    count = len(written.results)
    tell(f"wrote {written.path}: {count} result{'s' if count > 1 else ''}; open it in a browser")
