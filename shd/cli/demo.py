"""`shd demo`: real human data and simulated crossings with known truth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from shd.cli.early_checks import check_files
from shd.cli.fit import check_choices
from shd.cli.messages import tell
from shd.cli.results import announce, output_folder
from shd.errors import number_of

__all__ = ["demo", "score_table"]


def demo(
    out: Path = typer.Option(..., help="Folder for the results; it appears when all are there."),
    minutes: float = typer.Option(1.0, min=0.0, help="Training time of each of the three fits."),
    force: bool = typer.Option(False, help="Replace results in the output folder."),
) -> None:
    """Fit human data and two simulated crossings with known truth, the latter beside CSD: a few minutes in all."""
    check_choices(minutes, None, None, tile=8)
    check_files(out=out, force=force)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.demo import ANGLES, SNR, crossing_trial, human_scan, write_demo
    from shd.fitting.fit import fit

    with output_folder(out, force) as folder:
        scan = human_scan()
        tell(f"1 of 3: human brain, {number_of(int(scan.mask.sum()), 'voxel')} ({scan.name} of the dipy package)")
        with shown_progress() as report:
            human = fit(scan, minutes=minutes, report=report)
        runs = []
        for number, angle in enumerate(ANGLES, start=2):
            tell(f"{number} of 3: two simulated bundles crossing at {angle:g}°, SNR {SNR:g}, truth known")
            with shown_progress() as report:
                runs.append(crossing_trial(angle, minutes=minutes, report=report))
        rows, files = write_demo(folder, scan, human, runs)
    console = Console()
    for crossing in dict.fromkeys(row["crossing"] for row in rows):
        console.print(score_table([row for row in rows if row["crossing"] == crossing]))
    tell(
        "peaks count from that share of the voxel's highest; error: from each fibre to the nearest peak; both: share "
        "of voxels with both fibres found, success: and no false one; CSD: by DIPY, on the highest shell; truth: the "
        "true fODF through the same peak finder"
    )
    announce(human, files, out)
    tell(f"look also at {out / 'demo.png'}: truth, CSD and shd on the crossings; the numbers are in scores.json")


def score_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the scores on one phantom as a table; the better of the rivals' numbers is bold."""
    table = Table(
        title=f"{rows[0]['crossing']} crossing: two-fibre voxels | all white matter", box=box.SIMPLE, title_style="bold"
    )
    columns = ("angular_error", "both_fibres_found", "success_rate", "f1")
    for name in ("peaks ≥", "method", "error", "both", "success", "F1", "| error", "success", "F1"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    chosen = [("two_fibre_voxels", key) for key in columns]
    chosen += [("all_voxels", key) for key in columns if key != "both_fibres_found"]
    for threshold in dict.fromkeys(row["peak_threshold"] for row in rows):
        group = [row for row in rows if row["peak_threshold"] == threshold]
        rivals = [row for row in group if row["method"] != "truth"]
        for row in group:
            cells = [_cell(row, rivals, part, key) for part, key in chosen]
            style = "dim" if row["method"] == "truth" else None
            table.add_row(f"{threshold:g}", row["method"], *cells, style=style)
        table.add_section()
    return table


def _cell(row: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]], part: str, key: str) -> str:
    """Return a number as text, bold where no rival has a better one."""
    value, others = row[part][key], [rival[part][key] for rival in rivals]
    text = f"{value:.1f}°" if key == "angular_error" else f"{value:.2f}"
    best = min(others) if key == "angular_error" else max(others)
    return f"[bold]{text}[/bold]" if row in rivals and value == best else text
