"""One network on twelve protocols, beside CSD and MSMT-CSD on the same scans: F1 and angular error.

    python -m benchmarks degradation [--model base] [--beside estimate,small] [--protocol 12@1000,hardi] [--seeds 3]
                                     [--snr 20] [--again shd-base] [--out DIR]

The phantoms are tangles from seed 1000 on, which no training meets. A cell of the tables is F1 / angular error /
success with two fibres, medians over the seeds; rivals are MRtrix3's, each at the degrees 8 and 12, and the gap closed
is that between the best of them in the score and the ceiling. Finished cells are kept in DIR/cells (docs/accuracy.md),
so methods can be added later; --again names those to make anew. --model and --beside take the names of packaged
networks, their files, and "estimate", the answer before any training.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.accuracy_table.cells import CEILING, THRESHOLD, Cell, CellStore, measure_ceiling, measure_method
from benchmarks.accuracy_table.problems import RANGE, Problem
from benchmarks.accuracy_table.rows import LEAST_GAP, Gap, gap_closed
from benchmarks.deconvolvers.methods import METHODS, Method, MethodError, applied
from benchmarks.deconvolvers.training import Budget
from benchmarks.harness.program import errors_in_one_line
from shd.errors import ShdError
from shd.io.atomic import whole_file, write_json
from shd.io.tables import write_csv
from shd.simulation import Phantom
from shd.simulation.protocols import HARDI, Protocol

RIVALS = ("mrtrix-csd", "mrtrix-csd-12", "mrtrix-msmt", "mrtrix-msmt-12")
FIRST_SEED = 1000
MANY = 30  # directions, from which on most of the gap is to be closed
SHARE = 0.7  # of the gap
FEW = 12  # directions, from which on ours is to be as good as CSD of `HARDI`

_OURS, _BESIDE = "tab:red", ("tab:orange", "tab:purple", "tab:brown")
_RIVAL_COLOURS = dict(zip(RIVALS, ("#1f77b4", "#9ecae1", "#2ca02c", "#a1d99b"), strict=True))

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """Medians over the seeds. ours: key of the network. values: protocol → key → score → median, the ceiling's too."""

    ours: str
    protocols: tuple[Protocol, ...]
    methods: Mapping[str, Method]
    values: Mapping[str, Mapping[str, Scores]]

    def gap(self, protocol: str, score: str) -> Gap | None:
        """Return the gap between the best rival and the ceiling that ours closes, None where one of them is absent."""
        found = self.values[protocol]
        rivals = {key: scores for key, scores in found.items() if key in RIVALS}
        if not rivals or self.ours not in found:
            return None
        return gap_closed(score, found[CEILING], rivals, found[self.ours])


def directions(protocol: Protocol) -> int:
    """Return how many weighted volumes a protocol has."""
    return sum(count for _, count in protocol.shells)


def key_of(model: str) -> str:
    """Return the name of a network's cells: that of its file where it is no packaged one."""
    return f"shd-{Path(model).stem}"


def chosen(models: Sequence[str]) -> tuple[dict[str, Method], list[str]]:
    """Return the methods of the table by key, those of `models` first, and a line for each that cannot run here."""
    wanted = {key_of(model): applied(model) for model in models} | {key: METHODS[key] for key in RIVALS}
    reasons = {key: method.missing() for key, method in wanted.items()}
    left_out = [f"left out: {key}: {reason}" for key, reason in reasons.items() if reason]
    return {key: method for key, method in wanted.items() if not reasons[key]}, left_out


class Cells:
    """The cells of the table, made one after the other. failures: what could not be made, and why."""

    def __init__(self, methods: Mapping[str, Method], store: CellStore, again: Sequence[str]) -> None:
        self.methods, self.store, self.again = methods, store, again
        self.failures: list[str] = []

    def scores(self, problem: Problem) -> dict[str, Scores]:
        """Return key → scores of one problem; what is kept is not made again."""
        found: dict[str, Scores] = {}
        phantom: Phantom | None = None
        for key in (CEILING, *self.methods):
            cell = None if key in self.again else self.store.read(key, problem, "")
            if cell is None:
                phantom = phantom or problem.make()
                cell = self._made(key, problem, phantom)
            if cell is not None:
                found[key] = cell.scores
        return found

    def _made(self, key: str, problem: Problem, phantom: Phantom) -> Cell | None:
        started = time.strftime("%H:%M:%S")
        try:
            if key == CEILING:
                scores, seconds = measure_ceiling(phantom)
            else:
                scores, seconds = measure_method(self.methods[key], phantom, Budget(steps=1))
        except ShdError as error:
            self.failures.append(f"{key}, {problem}: {error}")
            print(f"{problem}: {key} failed: {error}", flush=True)
            return None
        command = f"python -m benchmarks degradation --protocol {problem.protocol}"
        cell = Cell(key, problem, "", scores, seconds, command)
        self.store.write(cell)
        print(
            f"{problem}: {key} F1 {scores['best_f1']:.3f}, error {scores['best_error']:.2f}°, {seconds:.1f} s, "
            f"begun {started}",
            flush=True,
        )
        return cell


def medians(every: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
    """Return key → score → median over the seeds, of the methods that every seed has."""
    keys = [key for key in every[0] if all(key in scores for scores in every)]
    return {
        key: {name: float(np.median([scores[key][name] for scores in every])) for name in every[0][key]} for key in keys
    }


def markdown(table: Table) -> str:
    """Return a table a threshold, then what the network reaches."""
    parts = []
    for prefix, title in (("", f"Peaks from {THRESHOLD:g} of the highest"), ("best_", "Each at its best threshold")):
        keys = [*table.methods, CEILING]
        names = [CEILING if key == CEILING else table.methods[key].name for key in keys]
        head = ["protocol", "directions", "shells", *names, "gap closed: F1, error"]
        lines = [f"**{title}**\n", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for protocol in table.protocols:
            found = table.values[protocol.name]
            cells = [_cell(found.get(key), prefix) for key in keys]
            gaps = [_share(table.gap(protocol.name, prefix + score)) for score in ("f1", "error")]
            words = [protocol.name, str(directions(protocol)), str(len(protocol.shells)), *cells, ", ".join(gaps)]
            lines.append("| " + " | ".join(words) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in reached(table))]) + "\n"


def _cell(scores: Scores | None, prefix: str) -> str:
    if scores is None:
        return "–"
    return f"{scores[prefix + 'f1']:.3f} / {scores[prefix + 'error']:.1f}° / {scores[prefix + 'success_2']:.2f}"


def _share(gap: Gap | None) -> str:
    return "–" if gap is None or np.isnan(gap.share) else f"{100 * gap.share:.0f} %"


def reached(table: Table) -> list[str]:
    """Return, in words: where ours is better than every rival, closes enough of the gap, and equals CSD of 64."""
    lines = []
    for score in LEAST_GAP:
        gaps = {p.name: gap for p in table.protocols if (gap := table.gap(p.name, score)) is not None}
        if not gaps:
            continue
        worse = [name for name, gap in gaps.items() if not _better(score, gap.ours, gap.rival_value)]
        many = {p.name for p in table.protocols if directions(p) >= MANY}
        shares = {name: gap.share for name, gap in gaps.items() if name in many and not np.isnan(gap.share)}
        short = [f"{name} {100 * share:.0f} %" for name, share in shares.items() if share < SHARE]
        words = f"{score}: better than every rival on {len(gaps) - len(worse)} of {len(gaps)} protocols{_but(worse)}"
        if shares:
            words += (
                f"; at least {100 * SHARE:.0f} % of the gap closed on {len(shares) - len(short)} of {len(shares)} with "
                f"{MANY} directions or more{_but(short)}"
            )
        lines.append(words)
    return lines + few_directions(table)


def few_directions(table: Table) -> list[str]:
    """Return how ours with 12 to 30 directions compares with CSD of 64 at b = 3000 on the same phantoms."""
    hardi = table.values.get(HARDI.name, {})
    csd = {key: hardi[key] for key in ("mrtrix-csd", "mrtrix-csd-12") if key in hardi}
    few = [p.name for p in table.protocols if FEW <= directions(p) <= MANY and table.ours in table.values[p.name]]
    lines = []
    for score in LEAST_GAP if csd and few else ():
        best = (max if score.endswith("f1") else min)(scores[score] for scores in csd.values())
        ours = {name: table.values[name][table.ours][score] for name in few}
        worse = [f"{name} {value:.3f}" for name, value in ours.items() if not _better(score, value, best)]
        lines.append(
            f"{score} of CSD with 64 directions at b = 3000: {best:.3f}; ours with {FEW} to {MANY} directions is at "
            f"least as good on {len(few) - len(worse)} of {len(few)} protocols{_but(worse)}"
        )
    return lines


def _better(score: str, mine: float, theirs: float) -> bool:
    return mine >= theirs if score.endswith("f1") else mine <= theirs


def _but(names: Sequence[str]) -> str:
    return f" (not {', '.join(names)})" if names else ""


def draw(path: Path, table: Table) -> None:
    """Draw F1 and angular error at best thresholds: a line a method, the ceiling dashed, CSD of `HARDI` dotted."""
    figure = Figure(figsize=(11.0, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    names = [protocol.name for protocol in table.protocols]
    beside = [key for key in table.methods if key != table.ours and key not in _RIVAL_COLOURS]
    colours = _RIVAL_COLOURS | dict(zip(beside, cycle(_BESIDE), strict=False)) | {table.ours: _OURS}
    for panel, (title, score) in zip(
        figure.subplots(1, 2), (("F1", "best_f1"), ("angular error (°)", "best_error")), strict=True
    ):
        for key, method in table.methods.items():
            heights = [table.values[name].get(key, {}).get(score, np.nan) for name in names]
            ours = key == table.ours
            panel.plot(
                heights, "o-", label=method.name, markersize=4, linewidth=2.2 if ours else 1.2, color=colours[key],
                zorder=4 if ours else 3,
            )  # fmt: skip
        panel.plot([table.values[name][CEILING][score] for name in names], "k--", linewidth=1.0, label=CEILING)
        hardi = table.values.get(HARDI.name, {}).get("mrtrix-csd")
        if hardi is not None:
            panel.axhline(hardi[score], color="0.4", linestyle=":", label="CSD (MRtrix3, degree 8), 64 at b = 3000")
        panel.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.grid(True, color="0.92")
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("each method at its best threshold; directions @ b in s/mm², medians over phantoms", fontsize=9)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    with whole_file(path) as file:
        figure.savefig(file)


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Return a row a protocol and method, with every score."""
    return [
        {
            "protocol": protocol.name, "directions": directions(protocol), "shells": len(protocol.shells),
            "method": key, **{name: None if np.isnan(value) else value for name, value in scores.items()},
        }
        for protocol in table.protocols
        for key, scores in table.values[protocol.name].items()
    ]  # fmt: skip


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks degradation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="base")
    parser.add_argument("--beside", default="estimate", help="other networks, with commas between")
    parser.add_argument("--protocol", default=",".join(protocol.name for protocol in RANGE), help="with commas between")
    parser.add_argument("--phantom", default="small-tangle")
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=3, help=f"how many phantoms, from seed {FIRST_SEED} on")
    parser.add_argument("--again", default="", help="keys whose finished cells are made anew, with commas between")
    parser.add_argument("--out", type=Path, default=Path("degradation"))
    arguments = parser.parse_args(words)
    if arguments.seeds < 1:
        raise MethodError(f"--seeds {arguments.seeds}: at least 1 phantom is needed")
    wanted = arguments.protocol.split(",")
    known = {protocol.name: protocol for protocol in RANGE}
    foreign = [name for name in wanted if name not in known]
    if foreign:
        raise MethodError(f"--protocol {foreign[0]}: there are {', '.join(known)}")
    arguments.protocols = tuple(protocol for name, protocol in known.items() if name in wanted)
    arguments.models = [arguments.model, *(word for word in arguments.beside.split(",") if word)]
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Make what is missing, print the tables and write them."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    methods, left_out = chosen(arguments.models)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    problems = {
        protocol.name: [Problem(arguments.phantom, protocol.name, arguments.snr, seed) for seed in seeds]
        for protocol in arguments.protocols
    }
    print("\n".join(left_out), flush=True)
    cells = Cells(methods, CellStore(arguments.out / "cells"), arguments.again.split(","))
    values = {name: medians([cells.scores(problem) for problem in each]) for name, each in problems.items()}
    table = Table(key_of(arguments.model), arguments.protocols, methods, values)
    text = markdown(table)
    print(f"\n{text}")
    with whole_file(arguments.out / "degradation.md") as file:
        file.write_text(text, encoding="utf-8")
    write_csv(arguments.out / "degradation.csv", rows_of(table))
    write_json(arguments.out / "degradation.json", {"seeds": list(seeds), "snr": arguments.snr, "rows": rows_of(table)})
    draw(arguments.out / "degradation.png", table)
    print(f"wrote degradation.md, .csv, .json and .png in {arguments.out}: look at the picture")
    if cells.failures:
        raise MethodError(f"{len(cells.failures)} cells failed: {'; '.join(cells.failures)}")


if __name__ == "__main__":
    main(sys.argv[1:])
