"""The study as a picture: scores against training voxels, and on orientations not seen in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.accuracy_table.cells import CEILING
from benchmarks.learning_study.cells import UNTRAINED
from benchmarks.learning_study.tables import SCORES, Row, row_name
from shd.io.atomic import whole_file

__all__ = ["draw"]

COLOURS = {
    "mlp": "tab:green", "cnn": "tab:blue", "cnn-long": "#9ecae1", "ponita": "tab:purple", "ponita-steps": "#c5b0d5",
    "rt-esd": "tab:orange", "shd": "tab:red",
}  # fmt: skip
_UNLEARNED = {UNTRAINED: ":", CEILING: "--"}


def draw(path: Path, tables: Mapping[str, Sequence[Row]], unseen: Mapping[str, Sequence[Row]]) -> None:
    """Draw a line of panels a test over the voxels; below, networks of flat scans on flat and on turned ones.

    tables, unseen: rows by test.
    """
    lines = len(tables) + bool(unseen)
    figure = Figure(figsize=(13.0, 2.9 * lines + 0.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, len(SCORES), squeeze=False)
    for line, (test, rows) in zip(grid, tables.items(), strict=False):
        for panel, (title, score, _) in zip(line, SCORES, strict=True):
            _draw_lines(panel, rows, test, score)
            panel.set(title=f"{title}, {test}", xlabel="training voxels")
    for panel, (title, score, _) in zip(grid[-1] if unseen else (), SCORES, strict=bool(unseen)):
        _draw_orientations(panel, unseen, score)
        panel.set(title=f"{title}, flat training")
    for panel in grid.flat:
        panel.grid(True, color="0.92")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    with whole_file(path) as file:
        figure.savefig(file)


def _draw_lines(panel: Axes, rows: Sequence[Row], test: str, score: str) -> None:
    panel.set_xscale("log")
    learned = sorted({round(row.cost("voxels")) for row in rows if row.count})
    panel.set_xticks(learned, [f"{count:,}" for count in learned])
    panel.minorticks_off()
    for row in rows:
        if row.method in _UNLEARNED:
            height, style = row.mean(test, score), _UNLEARNED[row.method]
            panel.axhline(height, linestyle=style, color="black", linewidth=1.0, label=row_name(row.method))
    for key in dict.fromkeys(row.method for row in rows if row.count):
        own = [row for row in rows if row.method == key]
        voxels, heights = [row.cost("voxels") for row in own], [row.mean(test, score) for row in own]
        panel.plot(voxels, heights, "o-", color=COLOURS[key], label=row_name(key), markersize=5)
        for row in own:
            values = row.values(test, score)
            places = [row.cost("voxels")] * len(values)
            panel.plot(places, values, "o", color=COLOURS[key], markersize=2.5, alpha=0.6)


def _draw_orientations(panel: Axes, tables: Mapping[str, Sequence[Row]], score: str) -> None:
    first = next(iter(tables.values()))
    for row in first:
        others = [next(r for r in rows if (r.method, r.count) == (row.method, row.count)) for rows in tables.values()]
        heights = [other.mean(test, score) for test, other in zip(tables, others, strict=True)]
        colour, style = COLOURS.get(row.method, "black"), _UNLEARNED.get(row.method, "-")
        panel.plot(range(len(tables)), heights, marker="o" if row.count else "", linestyle=style, color=colour)
    panel.set_xticks(range(len(tables)), [f"tested {name}" for name in tables])
    panel.set_xlim(-0.3, len(tables) - 0.7)
