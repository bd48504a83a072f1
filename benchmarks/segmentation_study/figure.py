"""The study as a picture: scores against the number of training scans, and on orientations not seen in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.segmentation_study.cells import METHODS
from benchmarks.segmentation_study.tables import COLUMNS, Row
from shd.io.atomic import whole_file

__all__ = ["draw"]

COLOURS = {"equivariant": "tab:red", "cnn": "#9ecae1", "cnn-time": "tab:blue", "cnn-wide": "tab:purple"}


def draw(path: Path, main: Sequence[Row], unseen: Mapping[str, Sequence[Row]]) -> None:
    """Draw a line a network over the numbers of scans; below, trained upright and tested upright and rotated."""
    figure = Figure(figsize=(11.0, 6.6 if unseen else 3.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2 if unseen else 1, 3, squeeze=False)
    for panel, (title, score) in zip(grid[0], COLUMNS, strict=False):
        _draw_lines(panel, main, score)
        panel.set(title=title, xlabel="training scans")
    for panel, (title, score) in zip(grid[1] if unseen else (), COLUMNS, strict=False):
        _draw_orientations(panel, unseen, score)
        panel.set(title=f"{title}, trained upright")
    for panel in grid.flat:
        panel.grid(True, color="0.92")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    with whole_file(path) as file:
        figure.savefig(file)


def _draw_lines(panel: Axes, rows: Sequence[Row], score: str) -> None:
    for key in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == key]
        counts = [row.count for row in own]
        colour = COLOURS[key]
        panel.plot(counts, [row.mean(score) for row in own], "o-", color=colour, label=METHODS[key].name, markersize=5)
        for row in own:
            panel.plot([row.count] * len(row.cells), row.values(score), "o", color=colour, markersize=2.5, alpha=0.6)
    panel.set_xticks(sorted({row.count for row in rows}))


def _draw_orientations(panel: Axes, tables: Mapping[str, Sequence[Row]], score: str) -> None:
    for key in dict.fromkeys(row.method for rows in tables.values() for row in rows):
        means, colour = [], COLOURS[key]
        for place, rows in enumerate(tables.values()):
            row = next(each for each in rows if each.method == key)
            means.append(row.mean(score))
            panel.plot([place] * len(row.cells), row.values(score), "o", color=colour, markersize=2.5, alpha=0.6)
        panel.plot(range(len(means)), means, "o-", color=colour, markersize=5)
    panel.set_xticks(range(len(tables)), [f"tested {name}" for name in tables])
    panel.set_xlim(-0.3, len(tables) - 0.7)
