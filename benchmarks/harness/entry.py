"""The course of a performance benchmark: options, cases, a table that grows row by row, and where it is stored."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.harness import tables
from benchmarks.harness.baselines import record, save, stored_medians
from benchmarks.harness.cases import Case, Result, measured
from benchmarks.harness.floors import MachineRates
from benchmarks.harness.timing import Patience

__all__ = ["option_parser", "prepare", "show", "store"]


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what every such benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--save", action="store_true", help="store the results as this machine's baseline")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    return parser


def prepare(threads: int) -> None:
    """Let torch use `threads` threads."""
    torch.set_num_threads(threads)


def show(
    title: str,
    cases: Iterable[Case],
    columns: Sequence[tables.Column],
    *,
    rival: str | None = None,
    patience: Patience | None = None,
) -> list[Result]:
    """Measure the cases and print their table, each row when it is known.

    rival: the row whose time the others are divided by; it must come first. Where a baseline of this title is stored,
    a column compares with it.
    """
    medians: dict[str, float] = {}
    stored = stored_medians(title)
    ratio = [tables.against(f"÷ {rival}", medians, rival)] if rival else []
    columns = [tables.TIME, tables.RANGE, *ratio, *columns]
    columns += [tables.against("÷ stored", stored)] if stored else []
    print(f"\n{title}\n\n{tables.header(columns)}", flush=True)
    results = []
    for result in measured(cases, patience):
        if result.timing is not None:
            medians[result.name] = result.timing.median
        results.append(result)
        print(tables.row(result, columns), flush=True)
    return results


def store(
    arguments: argparse.Namespace, results: dict[str, Sequence[Result]], rates: MachineRates | None = None
) -> None:
    """Store results by title, as the options ask for."""
    floors = {} if rates is None else {"rates": asdict(rates)}
    records = {title: record(rows, **floors) for title, rows in results.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n")
    if arguments.save:
        paths = {save(title, kept) for title, kept in records.items()}
        print("\nstored in " + ", ".join(str(path) for path in sorted(paths)))
