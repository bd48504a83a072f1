"""Accuracy on the crossing phantom against minutes of training, beside deconvolution without training.

    python -m benchmarks.accuracy_against_minutes --out accuracy_against_minutes.png

0 minutes is the untrained network, which answers with the first estimate. Columns as in benchmarks.crossing: over
voxels with two fibres, and over all white matter; medians over the seeds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.crossing import scored
from benchmarks.deconvolvers.mrtrix import mrtrix_installed, multi_tissue_deconvolution
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.peak_scores import score_matches, scores_by_fibre_count
from shd.evaluation.phantom_scores import match_phantom
from shd.fitting.budget import default_settings
from shd.fitting.fit import DEGREE, fit
from shd.inference.tiled import deconvolve
from shd.scans.normalisation import normalise
from shd.simulation import Phantom, crossing_phantom
from shd.training.subject import SubjectTraining

COLUMNS = ("error ° (2)", "both found", "success (2)", "F1 (2)", "error °", "F1")
DRAWN = ("error ° (2)", "both found", "F1 (2)")


class Row(NamedTuple):
    """A method's numbers: name, or minutes of training; steps done; threshold → values in the order of COLUMNS."""

    name: str
    minutes: float | None
    steps: float
    scores: dict[float, np.ndarray]


def fitted(phantom: Phantom, minutes: float) -> tuple[np.ndarray, int]:
    """Return our fODFs after `minutes` of training with the exact responses, and the steps done."""
    if minutes > 0:
        result = fit(phantom.scan, responses=phantom.responses, minutes=minutes)
        return result.fod.wm, int(result.history[-1]["step"])
    settings = default_settings(int(phantom.scan.mask.sum()), steps=1)
    scan = normalise(phantom.scan)
    untrained = SubjectTraining(scan, phantom.responses, settings).best_model()
    return deconvolve(untrained, scan, phantom.responses, degree=DEGREE).wm, 0


def measure(fods: np.ndarray, phantom: Phantom, threshold: float) -> list[float]:
    """Return a row's numbers at one threshold, in the order of COLUMNS."""
    matches = match_phantom(fods, phantom, relative_threshold=threshold)
    every, two = score_matches(matches), scores_by_fibre_count(matches)[2]
    return [
        two.angular_error, two.both_fibres_found, two.success_rate, two.f1, every.angular_error, every.f1
    ]  # fmt: skip


def rows_of(phantoms: Sequence[Phantom], minutes: Sequence[float], thresholds: Sequence[float]) -> list[Row]:
    """Return the rivals' rows, then ours for each training time; medians over the phantoms."""

    def row(name: str, spent: float | None, fods: list[np.ndarray], steps: float) -> Row:
        scores = {
            threshold: np.median([measure(f, p, threshold) for f, p in zip(fods, phantoms, strict=True)], axis=0)
            for threshold in thresholds
        }
        found = Row(name, spent, steps, scores)
        print_row(found)
        return found

    fods = [constrained_deconvolution(scored(p), response=p.responses[0]).wm for p in phantoms]
    rows = [row("DIPY CSD", None, fods, 0)]
    if mrtrix_installed():
        fods = [multi_tissue_deconvolution(scored(p), p.responses).wm for p in phantoms]
        rows.append(row("MRtrix msmt_csd", None, fods, 0))
    for spent in minutes:
        results = [fitted(phantom, spent) for phantom in phantoms]
        steps = float(np.median([steps for _, steps in results]))
        rows.append(row(f"shd, {spent:g} min", spent, [fods for fods, _ in results], steps))
    return rows


def print_row(row: Row) -> None:
    """Print one line a threshold."""
    for threshold, values in row.scores.items():
        numbers = " | ".join(f"{value:.3f}" for value in values)
        steps = "" if row.minutes is None else f"{row.steps:.0f}"
        print(f"| {row.name} | {steps} | {threshold:g} | {numbers} |", flush=True)


def draw(path: Path, tables: dict[float, list[Row]]) -> None:
    """Draw a row of panels an angle: solid lines for the first threshold, dashed for the second."""
    figure = Figure(figsize=(12.0, 3.3 * len(tables) + 0.9), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(tables), len(DRAWN), squeeze=False)
    for line, (angle, rows) in zip(panels, tables.items(), strict=True):
        for panel, column in zip(line, DRAWN, strict=True):
            _draw_panel(panel, rows, COLUMNS.index(column))
            panel.set_title(f"{angle:g}° crossing: {column.replace(' (2)', '')}, two-fibre voxels", fontsize=10)
            panel.set_xlabel("minutes of training on two CPU cores", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _draw_panel(panel, rows: list[Row], column: int) -> None:
    ours = [row for row in rows if row.minutes is not None]
    for style, threshold in zip(("-", "--", ":"), rows[0].scores, strict=False):
        minutes = [row.minutes for row in ours]
        values = [row.scores[threshold][column] for row in ours]
        label = f"shd, peaks ≥ {threshold:g}"
        panel.plot(minutes, values, style, color="tab:red", marker="o", markersize=4, label=label)
        rivals = [row for row in rows if row.minutes is None]
        for colour, rival in zip(("tab:gray", "tab:blue"), rivals, strict=False):
            label = f"{rival.name}, peaks ≥ {threshold:g}"
            panel.axhline(rival.scores[threshold][column], linestyle=style, color=colour, linewidth=1.2, label=label)
    panel.grid(True, color="0.92")
    panel.spines[["top", "right"]].set_visible(False)


def main(options: Sequence[str] = ()) -> None:
    """Print one table an angle, as each line is known, and draw them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=float, nargs="+", default=[60.0, 45.0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0, 2.0, 4.0])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.1, 0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=Path("accuracy_against_minutes.png"))
    arguments = parser.parse_args(options)
    tables = {}
    for angle in arguments.angles:
        print(f"\n{angle:g}° crossing, SNR {arguments.snr:g}, seeds {arguments.seeds}\n")
        print("| method | steps | peaks ≥ | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 3) + "|")
        phantoms = [crossing_phantom(angle, snr=arguments.snr, seed=seed) for seed in arguments.seeds]
        tables[angle] = rows_of(phantoms, arguments.minutes, arguments.thresholds)
    draw(arguments.out, tables)


if __name__ == "__main__":
    main(sys.argv[1:])
