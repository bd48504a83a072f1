"""Lesions in simulated scans, found by an equivariant network and by plain 3-D CNNs, with fewer and fewer scans.

    python -m benchmarks segmentation [--methods equivariant,cnn] [--counts 4,8,16] [--seeds 3] [--steps 200]
                                      [--stop-after MINUTES] [--out DIR]

Every network learns from the same scans of heads at random orientations, and once more from upright ones alone, and is
tested on ten others, upright and rotated. Finished cells (a network on some scans of a seed) are kept in DIR/cells: a
stopped run goes on, and --stop-after begins no cell after so many minutes. What the rows are: docs/segmentation.md.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy_table.kept import kept
from benchmarks.harness.program import errors_in_one_line
from benchmarks.segmentation_study.cells import METHODS, Budget, measure
from benchmarks.segmentation_study.figure import draw
from benchmarks.segmentation_study.scans import TRAINED, Scans
from benchmarks.segmentation_study.tables import Row, as_markdown, margins
from shd.errors import SettingsError

MAIN, UNSEEN = "rotated", "upright"
TESTS = {MAIN: ("rotated",), UNSEEN: ("upright", "rotated")}


class Study:
    """The cells that are asked for; each is made once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.cells = arguments, arguments.out / "cells"
        self.scans, self.budget = Scans(arguments.out / "scans"), Budget(arguments.steps)
        self.begun = time.monotonic()

    def wanted(self) -> Iterator[tuple[int, str, str, int]]:
        """Give seed, training, method and count of every cell, seed by seed, so that a stopped run has whole tables."""
        for seed in range(self.arguments.seeds):
            for method in self.arguments.methods:
                yield from ((seed, MAIN, method, count) for count in self.arguments.counts)
                yield seed, UNSEEN, method, max(self.arguments.counts)

    def path(self, seed: int, training: str, method: str, count: int) -> Path:
        """Return where a cell is kept."""
        return self.cells / f"{training}_{method}_{count}scans_seed{seed}_{self.budget.steps}steps.json"

    def make(self) -> bool:
        """Make what is missing, saying each; return whether all is there."""
        for seed, training, method, count in self.wanted():
            path = self.path(seed, training, method, count)
            if path.is_file():
                continue
            if time.monotonic() - self.begun > 60.0 * self.arguments.stop_after:
                return False
            cell = kept(path, partial(measure, method, self.scans, training, seed, count, TESTS[training], self.budget))
            scores = "; ".join(
                f"tested {name}: AUC {of['roc_auc']:.3f}, average precision {of['average_precision']:.3f}, Dice "
                f"{of['dice_at']:.3f}"
                for name, of in cell["scores"].items()
            )
            print(f"seed {seed}, {method}, {count} {training}: {scores}; {cell['seconds']:.0f} s", flush=True)
        return True

    def rows(self, training: str, tested: str, counts: Sequence[int]) -> list[Row]:
        """Return a row a method and number of scans, of the seeds that are there for all methods."""
        seeds = [seed for seed in range(self.arguments.seeds) if self._whole(seed, training, counts)]
        found = []
        for method in self.arguments.methods:
            for count in counts:
                cells = [self._read(seed, training, method, count) for seed in seeds]
                if cells:
                    found.append(Row(method, training, tested, count, cells))
        return found

    def _whole(self, seed: int, training: str, counts: Sequence[int]) -> bool:
        methods = self.arguments.methods
        return all(self.path(seed, training, method, count).is_file() for method in methods for count in counts)

    def _read(self, seed: int, training: str, method: str, count: int) -> dict[str, Any]:
        return kept(self.path(seed, training, method, count), dict)


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises SettingsError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks segmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="methods: " + "; ".join(f"{key}: {method.name}" for key, method in METHODS.items()),
    )
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between")
    parser.add_argument("--counts", default="4,8,16", help=f"scans to learn from, with commas between, to {TRAINED}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of the equivariant network")
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="minutes")
    parser.add_argument("--out", type=Path, default=Path("segmentation"))
    arguments = parser.parse_args(words)
    arguments.methods = arguments.methods.split(",")
    unknown = [key for key in arguments.methods if key not in METHODS]
    if unknown:
        raise SettingsError(f"method {unknown[0]!r}: there are {', '.join(METHODS)}")
    try:
        arguments.counts = sorted({int(word) for word in arguments.counts.split(",")})
    except ValueError:
        raise SettingsError(f"--counts {arguments.counts}: whole numbers with commas between") from None
    if not 1 <= min(arguments.counts) <= max(arguments.counts) <= TRAINED or min(arguments.seeds, arguments.steps) < 1:
        raise SettingsError(
            f"--counts {arguments.counts}, --seeds {arguments.seeds}, --steps {arguments.steps}: each at least 1, and "
            f"counts to {TRAINED}"
        )
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Make the cells, print the tables and draw them."""
    arguments = options_of(options)
    torch.set_num_threads(1)  # seconds of one core
    study = Study(arguments)
    if not study.make():
        print("stopped; the same command goes on")
    most = [max(arguments.counts)]
    shown = study.rows(MAIN, MAIN, arguments.counts)
    unseen = {tested: study.rows(UNSEEN, tested, most) for tested in TESTS[UNSEEN]}
    unseen = {tested: rows for tested, rows in unseen.items() if rows}
    tables = {"trained and tested rotated": shown}
    tables |= {f"trained upright, tested {tested}": rows for tested, rows in unseen.items()}
    for title, rows in tables.items():
        if rows:
            print("\n".join(["", f"{title}, {len(rows[0].cells)} seeds", as_markdown(rows), "", *margins(rows)]))
    if shown:
        picture = arguments.out / "segmentation.png"
        draw(picture, shown, unseen)
        print(f"\nwrote {picture}: look at it; the numbers are kept in {study.cells}")


if __name__ == "__main__":
    main(sys.argv[1:])
