"""How the time of a layer grows with voxels, vertices, channels and threads, as tables and a picture.

    python -m benchmarks.scaling [--out docs/images/scaling.png] [--threads 2]

One size changes at a time; the others are 32→64 channels, nside 8 and 8³ voxels. Forward pass, float32, the systems of
`benchmarks.layer`; medians of short measurements.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.harness.cases import Result, measured
from benchmarks.harness.entry import option_parser, prepare, store
from benchmarks.harness.tables import time_text
from benchmarks.harness.timing import Patience
from benchmarks.layer_systems import FAST_ENGINES, SYSTEMS, LayerProblem, LayerSize
from shd.graphs.hemisphere import vertex_count

_BRIEF = Patience(seconds=0.3, least=3, most=4.0)
_MEASURED = tuple(system for system in SYSTEMS if system.dtype == "float32" and system.engine in (None, *FAST_ENGINES))


@dataclass(frozen=True)
class Sweep:
    """One size that changes. label: of the axis. points: (what the axis says, size, threads)."""

    name: str
    label: str
    points: tuple[tuple[int, LayerSize, int], ...]


def sweeps(threads: int, most_threads: int) -> tuple[Sweep, ...]:
    """Return the sweeps; all but that over threads run on `threads`."""
    usual = LayerSize()
    sides, nsides, widths = (4, 6, 8, 12), (4, 8, 16), (8, 16, 32, 64)
    counts = sorted({1, min(2, most_threads), most_threads})
    larger = tuple((n**3, replace(usual, voxels=n), threads) for n in sides)
    finer = tuple((vertex_count(n), replace(usual, nside=n), threads) for n in nsides)
    wider = tuple((n, replace(usual, channels_in=n, channels_out=n), threads) for n in widths)
    return (
        Sweep("voxels", "voxels", larger),
        Sweep("vertices", "vertices of the half-sphere", finer),
        Sweep("channels", "channels in and out", wider),
        Sweep("threads", "threads", tuple((n, usual, n) for n in counts)),
    )


def swept(sweep: Sweep) -> dict[int, list[Result]]:
    """Return the results of every system at every point."""
    results = {}
    for place, size, threads in sweep.points:
        torch.set_num_threads(threads)
        problem = LayerProblem(size)
        cases = (problem.case(system, backward=False, check=False) for system in _MEASURED)
        results[place] = list(measured(cases, _BRIEF))
    return results


def table(sweep: Sweep, results: dict[int, list[Result]]) -> str:
    """Return a markdown table, a row a system and a column a point."""
    lines = [f"| {sweep.label} | {' | '.join(map(str, results))} |", "|---" * (len(results) + 1) + "|"]
    for number, system in enumerate(_MEASURED):
        timings = [rows[number].timing for rows in results.values()]
        texts = ("skipped" if timing is None else time_text(timing.median) for timing in timings)
        lines.append(f"| {system.name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def picture(results: dict[Sweep, dict[int, list[Result]]], path: Path) -> None:
    """Write one panel a sweep, both axes logarithmic."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(results), sharey=True)
    for panel, (sweep, points) in zip(panels, results.items(), strict=True):
        for number, system in enumerate(_MEASURED):
            seconds = {x: rows[number].timing.median for x, rows in points.items() if rows[number].timing is not None}
            if seconds:
                panel.loglog(list(seconds), list(seconds.values()), marker="o", markersize=3, label=system.name)
        panel.set_xticks(list(points), labels=list(map(str, points)))
        panel.minorticks_off()
        panel.set_xlabel(sweep.label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("seconds, forward pass")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main(options: Sequence[str] = ()) -> None:
    """Print a table a sweep and write the picture."""
    parser = option_parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/scaling.png"))
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    found, stored = {}, {}
    for sweep in sweeps(arguments.threads, os.cpu_count() or 1):
        found[sweep] = swept(sweep)
        print(f"\n{table(sweep, found[sweep])}", flush=True)
        for place, rows in found[sweep].items():
            stored[f"Scaling, {sweep.name} {place}, {arguments.threads} threads"] = rows
    picture(found, arguments.out)
    store(arguments, stored)


if __name__ == "__main__":
    main(sys.argv[1:])
