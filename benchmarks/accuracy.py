"""fODFs of every method on phantoms with known truth: the accuracy tables.

    python -m benchmarks accuracy [--set quick|full] [--methods a,b,c] [--phantom p,q] [--protocol research,hardi]
                                  [--snr 10,20,30] [--seeds 3] [--minutes M | --steps N] [--out DIR] [--again a,b]

Writes the table as text, Markdown, CSV and JSON, and a figure. Each finished cell (a method on a phantom) is kept in
DIR/cells, and is not run again: a killed run goes on, several may share a folder, and --again names methods whose cells
are to be made anew. What each row is, and how to read it: docs/accuracy.md.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from benchmarks.accuracy_table.cells import CEILING, Cell, CellStore, measure_ceiling, measure_method
from benchmarks.accuracy_table.figure import draw_tables
from benchmarks.accuracy_table.output import LEGEND, as_text, gap_lines, title_of, write_tables
from benchmarks.accuracy_table.problems import PHANTOMS, PROTOCOLS, Problem
from benchmarks.accuracy_table.rows import rows_by_setting
from benchmarks.deconvolvers.methods import METHODS, OURS, Method, MethodError, chosen_methods
from benchmarks.deconvolvers.training import Budget
from benchmarks.harness.program import errors_in_one_line
from shd.errors import ShdError
from shd.simulation import Phantom


@dataclass(frozen=True)
class Selection:
    """What is run. minutes: of training a network, on two cores."""

    methods: tuple[str, ...]
    phantoms: tuple[str, ...]
    protocols: tuple[str, ...]
    snrs: tuple[float, ...]
    seeds: int
    budget: Budget


_TRAINED = ("mlp", "cnn", "cnn-tv", "esd", "rt-esd", "ponita", "shd", "shd-tv", OURS)

SETS = {
    "quick": Selection(
        ("dipy-csd", "mrtrix-msmt", "mrtrix-msmt-12", "rumba-tv", "cnn-tv", "shd-tv", OURS),
        ("small-tangle",), ("research",), (20.0,), 1, Budget(minutes=1.0),
    ),
    "full": Selection(
        (*(key for key, method in METHODS.items() if method.rival and key != "dipy-msmt-12"), *_TRAINED),
        ("tangle", "isbi"), ("research", "hardi", "clinical"), (10.0, 20.0, 30.0), 3, Budget(minutes=5.0),
    ),
}  # fmt: skip


def selection_of(arguments: argparse.Namespace) -> Selection:
    """Return the set asked for with what the other options change. Raises MethodError for a value that cannot be."""
    chosen = SETS[arguments.set]
    snrs = chosen.snrs if arguments.snr is None else tuple(_number(word) for word in _words(arguments.snr))
    seeds = chosen.seeds if arguments.seeds is None else arguments.seeds
    if seeds < 1:
        raise MethodError(f"--seeds {seeds}: at least 1 phantom is needed")
    budget = chosen.budget
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise MethodError(f"--minutes {arguments.minutes:g}: training needs more than 0")
    if arguments.steps is not None and arguments.steps < 1:
        raise MethodError(f"--steps {arguments.steps}: training needs at least 1")
    if arguments.minutes is not None or arguments.steps is not None:
        budget = Budget(arguments.minutes, arguments.steps)
    return Selection(
        tuple(_words(arguments.methods)) or chosen.methods,
        tuple(_words(arguments.phantom)) or chosen.phantoms,
        tuple(_words(arguments.protocol)) or chosen.protocols,
        snrs,
        seeds,
        budget,
    )


def _words(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise MethodError(f"--snr {word}: not a number") from None


def problems_of(selection: Selection) -> list[Problem]:
    """Return every problem, seed by seed, so that a killed run has whole tables of fewer seeds."""
    seeds = range(selection.seeds)
    return [
        Problem(phantom, protocol, snr, seed)
        for seed, phantom, protocol, snr in product(seeds, selection.phantoms, selection.protocols, selection.snrs)
    ]


def command_of(method: str, problem: Problem, budget: str, seeds: int) -> str:
    """Return the command that makes a row."""
    words = ["python -m benchmarks accuracy", f"--phantom {problem.phantom}", f"--protocol {problem.protocol}"]
    words += [f"--snr {problem.snr:g}", f"--seeds {seeds}"]
    if method != CEILING:
        words.append(f"--methods {method}")
    if budget:
        count, unit = budget.split()
        words.append(f"--{'minutes' if unit == 'min' else 'steps'} {count}")
    return " ".join(words)


class Run:
    """Cells made one after the other. failures: what could not be made, and why."""

    def __init__(self, selection: Selection, methods: dict[str, Method], store: CellStore, again: set[str]) -> None:
        self.selection, self.methods, self.store, self.again = selection, methods, store, again
        self.cells: list[Cell] = []
        self.failures: list[str] = []

    def all(self) -> None:
        """Make or read every cell, saying each."""
        problems = problems_of(self.selection)
        for number, problem in enumerate(problems, start=1):
            print(f"{problem} ({number} of {len(problems)})", flush=True)
            phantom = None
            for key in (CEILING, *self.methods):
                budget = str(self.selection.budget) if key != CEILING and self.methods[key].trained else ""
                cell = None if key in self.again else self.store.read(key, problem, budget)
                if cell is None:
                    phantom = phantom or problem.make()
                    cell = self._made(key, problem, phantom, budget)
                if cell is not None:
                    self.cells.append(cell)

    def _made(self, key: str, problem: Problem, phantom: Phantom, budget: str) -> Cell | None:
        seed = replace(self.selection.budget, seed=problem.seed)
        started = time.strftime("%H:%M:%S")
        try:
            if key == CEILING:
                scores, seconds = measure_ceiling(phantom)
            else:
                scores, seconds = measure_method(self.methods[key], phantom, seed)
        except ShdError as error:
            self.failures.append(f"{key}, {problem}: {error}")
            print(f"  {key:16s} failed: {error}", flush=True)
            return None
        command = command_of(key, problem, budget, self.selection.seeds)
        cell = Cell(key, problem, budget, scores, seconds, command)
        self.store.write(cell)
        print(
            f"  {key:16s} F1 {scores['f1']:.3f}, error {scores['error']:.2f}°, success (2) {scores['success_2']:.2f}; "
            f"{seconds:.1f} s, begun {started}",
            flush=True,
        )
        return cell


def estimated_hours(selection: Selection, methods: dict[str, Method], store: CellStore) -> float:
    """Return about how long the cells that are missing take on two cores, a thousand steps counting as a minute."""
    spent = 0.0
    for problem in problems_of(selection):
        for key, method in methods.items():
            budget = str(selection.budget) if method.trained else ""
            if store.read(key, problem, budget) is None:
                spent += _minutes(selection.budget) if method.trained else 0.0
                spent += method.minutes * PHANTOMS[problem.phantom].voxels
    return spent / 60


def _minutes(budget: Budget) -> float:
    if budget.minutes is not None:
        return budget.minutes
    return (budget.steps or 0) / 1000.0


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"methods: {', '.join(METHODS)}\nphantoms: {', '.join(PHANTOMS)}",
    )
    made.add_argument("--set", choices=SETS, default="quick")
    made.add_argument("--methods", help="keys with commas between; the set's if left out")
    made.add_argument("--phantom", help="with commas between")
    made.add_argument("--protocol", help=f"of {', '.join(PROTOCOLS)}, with commas between")
    made.add_argument("--snr", help="with commas between")
    made.add_argument("--seeds", type=int, help="how many phantoms a setting: seeds 0, 1, …")
    budget = made.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="of training, for every network")
    budget.add_argument("--steps", type=int, help="of training, in place of minutes: the same on any machine")
    made.add_argument("--again", help="methods whose finished cells are made anew, with commas between")
    made.add_argument("--out", type=Path, default=Path("accuracy"))
    return made


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Run what is asked, print the tables and write them."""
    _run(parser().parse_args(options))


def _run(arguments: argparse.Namespace) -> None:
    selection = selection_of(arguments)
    methods, missing = chosen_methods(selection.methods)
    again = set(_words(arguments.again))
    chosen_methods(sorted(again))
    problems_of(selection)
    store = CellStore(arguments.out / "cells")
    for key, reason in missing.items():
        print(f"left out: {key}: {reason}")
    hours = estimated_hours(selection, methods, store)
    words = f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.0f} hours"
    if hours > 0:
        print(f"about {words} on two cores for what is not in {store.folder} yet; a stopped run goes on", flush=True)
    run = Run(selection, methods, store, again)
    run.all()
    tables = rows_by_setting(run.cells)
    print(f"\n{LEGEND}")
    for setting, rows in tables.items():
        print("\n".join(["", title_of(setting), as_text(rows), *gap_lines(rows)]))
    written = write_tables(arguments.out, tables, run.cells)
    draw_tables(arguments.out / "accuracy.png", tables)
    for failure in run.failures:
        print(f"failed: {failure}")
    print(f"\nwrote {', '.join(str(path) for path in written)} and {arguments.out / 'accuracy.png'}: look at it")
    if run.failures:
        raise MethodError(f"{len(run.failures)} of {len(run.cells) + len(run.failures)} cells failed, see above")


if __name__ == "__main__":
    main(sys.argv[1:])
