"""The tables: in the terminal, as Markdown, as CSV (a line a cell) and as JSON (rows with their cells)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy_table.cells import CEILING, THRESHOLD, Cell
from benchmarks.accuracy_table.rows import Gap, Row, Setting, gaps_closed
from shd.io.atomic import whole_file, write_json
from shd.io.tables import write_csv

__all__ = ["as_json", "as_markdown", "as_text", "csv_rows", "gap_lines", "title_of", "write_tables"]

# Title, score, format.
COLUMNS = (
    ("F1", "f1", "{:.3f}"), ("error", "error", "{:.1f}°"), ("success (2)", "success_2", "{:.2f}"),
    ("best at", "best_threshold", "{:.2f}"), ("F1", "best_f1", "{:.3f}"), ("error", "best_error", "{:.1f}°"),
    ("success (2)", "best_success_2", "{:.2f}"), ("AUC", "auc", "{:.3f}"),
)  # fmt: skip

LEGEND = (
    f"Peaks from {THRESHOLD:g} of the voxel's highest: F1 and angular error over all voxels more than half white "
    "matter, success over those with two fibres; then the same at the threshold of the highest F1. Medians over seeds."
)


def title_of(setting: Setting) -> str:
    """Return a table's title."""
    phantom, protocol, snr = setting
    return f"{phantom}, {protocol}, SNR {snr:g}"


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    lines = [["method", *(title for title, _, _ in COLUMNS), "training", "time", "seeds"]]
    for row in rows:
        values = ["–" if np.isnan(row.scores[score]) else form.format(row.scores[score]) for _, score, form in COLUMNS]
        seconds = "–" if row.method == CEILING else f"{row.seconds:.1f} s"
        lines.append([row.name, *values, row.budget or "–", seconds, ", ".join(map(str, row.seeds))])
    return lines


def as_text(rows: Sequence[Row]) -> str:
    """Return a table for the terminal."""
    lines = _lines(rows)
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if place == 0 else word.rjust(width)
            for place, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(tables: Mapping[Setting, Sequence[Row]]) -> str:
    """Return every table, the gaps that ours closes, and the command of every row."""
    parts = [LEGEND]
    for setting, rows in tables.items():
        head, *lines = _lines(rows)
        parts.append(f"## {title_of(setting)}")
        rule = "|---" * len(head) + "|"
        parts.append("\n".join([_pipes(head), rule, *map(_pipes, lines)]))
        parts += gap_lines(rows)
        parts.append("\n".join(f"    {row.command}" for row in rows if row.command))
    return "\n\n".join(parts) + "\n"


def _pipes(words: Iterable[str]) -> str:
    return "| " + " | ".join(words) + " |"


def gap_lines(rows: Sequence[Row]) -> list[str]:
    """Return what share of the gap between the best rival and the ceiling ours closes, in words."""
    lines = []
    for trained, whom in ((False, "methods without training"), (True, "all others")):
        gaps = gaps_closed(rows, trained_rivals=trained)
        if gaps:
            lines.append(f"Gap to the ceiling closed, against the best of {whom}: {'; '.join(map(_gap, gaps))}.")
    return lines


def _gap(gap: Gap) -> str:
    name = gap.score.replace("best_", "").replace("f1", "F1").replace("error", "angular error")
    where = "at the best threshold" if gap.score.startswith("best_") else f"from {THRESHOLD:g}"
    share = "–" if np.isnan(gap.share) else f"{100 * gap.share:.0f} %"
    form = "{:.3f}" if "f1" in gap.score else "{:.1f}°"
    values = " → ".join(form.format(value) for value in (gap.rival_value, gap.ours, gap.ceiling))
    return f"{name} {where} {share} ({gap.rival} {values})"


def csv_rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return a row a cell: method, problem, scores, time, command."""
    return [
        {
            "method": cell.method,
            "phantom": cell.problem.phantom,
            "protocol": cell.problem.protocol,
            "snr": cell.problem.snr,
            "seed": cell.problem.seed,
            "training": cell.budget,
            **_plain(cell.scores),
            "seconds": round(cell.seconds, 2),
            "version": cell.version,
            "command": cell.command,
        }
        for cell in cells
    ]


def as_json(tables: Mapping[Setting, Sequence[Row]]) -> dict[str, Any]:
    """Return the tables as plain data."""
    return {
        title_of(setting): {
            "rows": [
                {
                    "method": row.method, "name": row.name, "training": row.budget, "seeds": row.seeds,
                    "median": _plain(row.scores), "range": {k: list(map(_number, v)) for k, v in row.spread.items()},
                    "seconds": row.seconds, "command": row.command,
                }
                for row in rows
            ],
            "gaps_closed": {
                whom: [{**vars(gap), "share": _number(gap.share)} for gap in gaps_closed(rows, trained_rivals=trained)]
                for trained, whom in ((False, "untrained"), (True, "all"))
            },
        }
        for setting, rows in tables.items()
    }  # fmt: skip


def _plain(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in scores.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def write_tables(folder: Path, tables: Mapping[Setting, Sequence[Row]], cells: Sequence[Cell]) -> list[Path]:
    """Write accuracy.md, accuracy.csv and accuracy.json; return their paths."""
    with whole_file(folder / "accuracy.md") as partial:
        partial.write_text(as_markdown(tables), encoding="utf-8")
    write_csv(folder / "accuracy.csv", csv_rows(cells))
    write_json(folder / "accuracy.json", as_json(tables))
    return [folder / f"accuracy.{ending}" for ending in ("md", "csv", "json")]
