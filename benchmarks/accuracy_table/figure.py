"""The tables as a picture: a line of panels a setting, a point a method, each seed a small one, the ceiling a line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.accuracy_table.cells import CEILING, THRESHOLD
from benchmarks.accuracy_table.output import title_of
from benchmarks.accuracy_table.rows import Row, Setting
from benchmarks.deconvolvers.methods import METHODS, OURS
from shd.io.atomic import whole_file

__all__ = ["draw_tables"]

PANELS = (("F1", "f1"), ("angular error (°)", "error"), ("success, two fibres", "success_2"))
_OURS, _TRAINED, _UNTRAINED, _CEILING = "tab:red", "tab:gray", "tab:blue", "black"
_LINE = 0.24  # inches a method


def draw_tables(path: Path, tables: Mapping[Setting, Sequence[Row]]) -> None:
    """Draw every table; filled points at the fixed threshold, open ones at the best; bars reach over the seeds."""
    heights = [_LINE * len(rows) + 0.75 for rows in tables.values()]
    figure = Figure(figsize=(11.0, sum(heights) + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(tables), len(PANELS), squeeze=False, sharey="row", height_ratios=heights)
    for line, (setting, rows) in zip(grid, tables.items(), strict=True):
        for panel, (title, score) in zip(line, PANELS, strict=True):
            _draw_panel(panel, rows, score)
            panel.set_xlabel(title, fontsize=9)
        line[0].set_title(title_of(setting), fontsize=10, loc="left")
    figure.suptitle(
        f"filled: peaks from {THRESHOLD:g} of the highest; open: each method's best threshold; "
        "dashed: true fODF (ceiling)",
        fontsize=9,
    )
    with whole_file(path) as partial:
        figure.savefig(partial)


def _draw_panel(panel: Axes, rows: Sequence[Row], score: str) -> None:
    methods = [row for row in rows if row.method != CEILING]
    for place, row in enumerate(methods):
        trained = METHODS[row.method].trained
        colour = _OURS if row.method == OURS else _TRAINED if trained else _UNTRAINED
        low, high = row.spread[score]
        panel.plot([low, high], [place, place], color=colour, linewidth=1.2)
        panel.plot(row.scores[score], place, "o", color=colour, markersize=5.5, zorder=4)
        best = row.scores[f"best_{score}"]
        panel.plot(best, place, "o", markerfacecolor="white", color=colour, markersize=5.5, zorder=3)
    for row in rows:
        if row.method == CEILING:
            panel.axvline(row.scores[score], color=_CEILING, linestyle="--", linewidth=1.0)
    panel.set_yticks(range(len(methods)), [row.name for row in methods], fontsize=8)
    panel.set_ylim(len(methods) - 0.4, -0.6)
    if score == "error":
        panel.set_xlim(left=0.0)
    panel.grid(True, axis="x", color="0.92")
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=8)
