"""Accuracy against training voxels: what symmetry is worth to networks that learn from simulated scans with truth.

    python -m benchmarks sample_efficiency [--methods shd,cnn] [--counts 2,8,32] [--seeds 1] [--steps 300]
                                           [--protocol clinical,research] [--stop-after MINUTES] [--out DIR]

Every network trains on N boxes of random scans with the loss of `shd train`, and is tested on tangles that no training
meets; and once more on flat scans, whose fibres lie near one plane of the grid, and is tested in that plane and in
another. Finished cells (a network on the boxes of a seed) are kept in DIR/cells: a stopped run goes on, and
--stop-after begins no cell after so many minutes. What the rows are: docs/accuracy.md.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy_table.cells import CEILING
from benchmarks.accuracy_table.kept import kept
from benchmarks.accuracy_table.problems import Problem
from benchmarks.deconvolvers.methods import MethodError
from benchmarks.harness.program import errors_in_one_line
from benchmarks.learning_study.boxes import ANY, FIRST_TEST, FLAT, UnseenScan, unseen_scan
from benchmarks.learning_study.cells import METHODS, UNTRAINED, Training, measure, measure_untrained, searched
from benchmarks.learning_study.figure import draw
from benchmarks.learning_study.tables import Row, as_markdown, costs

RATES = (1e-4, 3e-4, 1e-3, 3e-3)
"""Peak learning rates tried for each network: the one of the lowest loss of a validation is taken for all its cells."""

SEARCH_COUNT, SEARCH_STEPS = 8, 1 / 3
"""Boxes of a trial of a learning rate, and its steps as a share of a cell's."""

UNSEEN = (FLAT, "turned")
FLAT_COUNT = 8
"""Tests after a training on flat scans, and how many boxes of those that takes."""

UNLEARNED = (UNTRAINED, CEILING)


class Study:
    """The cells that are asked for; each is made once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.cells, self.boxes = arguments, arguments.out / "cells", arguments.out / "boxes"
        self.tests = {ANY: tuple(arguments.protocol), FLAT: UNSEEN}
        self._tested: dict[tuple[str, str, int], UnseenScan] = {}
        self.begun = time.monotonic()

    def wanted(self) -> Iterator[tuple[int, str, str, int]]:
        """Give seed, training, method and count of every cell, seed by seed, so that a stopped run has whole tables."""
        methods, counts = self.arguments.methods, self.arguments.counts
        for seed in range(self.arguments.seeds):
            for on, several in ((ANY, counts), (FLAT, (FLAT_COUNT,))):
                yield from ((seed, on, key, 0) for key in UNLEARNED)
                yield from ((seed, on, key, count) for count in several for key in methods)

    def make(self) -> bool:
        """Make what is missing, saying each; return whether all is there."""
        for seed, on, key, count in self.wanted():
            path = self._path(seed, on, key, count)
            if path.is_file():
                continue
            if time.monotonic() - self.begun > 60.0 * self.arguments.stop_after:
                return False
            tests = self._tests(on, seed)
            if key in UNLEARNED:
                cell = kept(path, partial(measure_untrained, key, tests))
            else:
                rate = self._rate(key)
                cell = kept(path, partial(measure, key, self._training(on, seed, count), rate, tests))
            scores = "; ".join(
                f"{name}: F1 {of['f1']:.3f}, error {of['error']:.2f}°, correlation {of['correlation']:.3f}"
                for name, of in cell["scores"].items()
            )
            seconds = f"; {cell['seconds']:.0f} s" if count else ""
            print(f"seed {seed}, {key}, {count} {on}: {scores}{seconds}", flush=True)
        return True

    def rows(self, on: str, counts: Sequence[int]) -> list[Row]:
        """Return the rows that are there, each of its own seeds: the estimate, the methods, the ceiling."""
        places = [(key, count) for key in self.arguments.methods for count in counts]
        found = []
        for key, count in [(UNTRAINED, 0), *places, (CEILING, 0)]:
            paths = [self._path(seed, on, key, count) for seed in range(self.arguments.seeds)]
            cells: list[dict[str, Any]] = [kept(path, dict) for path in paths if path.is_file()]
            if cells:
                found.append(Row(key, count, cells))
        return found

    def _path(self, seed: int, on: str, key: str, count: int) -> Path:
        arguments = self.arguments
        words = [on, key]
        if on == ANY:
            words += [arguments.phantom, *arguments.protocol]
        words += [f"snr{arguments.snr:g}", f"seed{seed}"]
        if count:
            words += [f"{count}boxes", f"{arguments.steps}steps"]
        return self.cells / ("_".join(words) + ".json")

    def _training(self, on: str, seed: int, count: int) -> Training:
        return Training(self.boxes, on, seed, count, self.arguments.steps)

    def _tests(self, on: str, seed: int) -> dict[str, UnseenScan]:
        wanted = {name: (on, name, seed) for name in self.tests[on]}
        if not set(wanted.values()) <= set(self._tested):  # of one seed and training at a time
            phantom, snr = self.arguments.phantom, self.arguments.snr
            self._tested = {of: unseen_scan(*of, phantom, snr) for of in wanted.values()}
        return {name: self._tested[of] for name, of in wanted.items()}

    def _rate(self, key: str) -> float:
        """Return the learning rate of a method, from the trials that are kept beside the cells."""
        key, steps = METHODS[key].rate_of or key, max(1, round(SEARCH_STEPS * self.arguments.steps))
        training = Training(self.boxes, ANY, 0, SEARCH_COUNT, steps)
        losses = {}
        for rate in RATES:
            path = self.cells / f"rate_{key}_{rate:g}_{steps}steps.json"
            new = not path.is_file()
            losses[rate] = kept(path, partial(searched, key, training, rate))["held_out"]
            if new:
                print(f"learning rate {rate:g}, {key}: loss of validation {losses[rate]:.4f}", flush=True)
        return min(losses, key=lambda rate: losses[rate])


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks sample_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="methods: " + "; ".join(f"{key}: {method.name}" for key, method in METHODS.items()),
    )
    parser.add_argument("--methods", default=",".join(METHODS), help="with commas between")
    parser.add_argument("--counts", default="2,8,32", help="boxes to learn from, with commas between")
    parser.add_argument("--seeds", type=int, default=1, help="of boxes, weights and tests together: seeds 0, 1, …")
    parser.add_argument("--steps", type=int, default=300, help="of our network")
    parser.add_argument("--phantom", default="small-tangle", help="to test on")
    parser.add_argument("--protocol", default="clinical,research", help="to test on, with commas between")
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="minutes")
    parser.add_argument("--out", type=Path, default=Path("sample_efficiency"))
    arguments = parser.parse_args(words)
    arguments.methods, arguments.protocol = arguments.methods.split(","), arguments.protocol.split(",")
    unknown = [key for key in arguments.methods if key not in METHODS]
    if unknown:
        raise MethodError(f"no method {unknown[0]}; there are: {', '.join(METHODS)}")
    try:
        arguments.counts = sorted({int(word) for word in arguments.counts.split(",")})
    except ValueError:
        raise MethodError(f"--counts {arguments.counts}: whole numbers with commas between") from None
    if min(arguments.steps, arguments.seeds, *arguments.counts) < 1:
        raise MethodError(
            f"--steps {arguments.steps}, --seeds {arguments.seeds}, --counts {arguments.counts}: each at least 1"
        )
    for protocol in arguments.protocol:
        Problem(arguments.phantom, protocol, arguments.snr, FIRST_TEST)
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Make the cells, print the tables and draw them."""
    arguments = options_of(options)
    torch.set_num_threads(1)  # seconds of one core
    study = Study(arguments)
    if not study.make():
        print("stopped; the same command goes on")
    rows, flat = study.rows(ANY, arguments.counts), study.rows(FLAT, (FLAT_COUNT,))
    for test in study.tests[ANY] if rows else ():
        print(f"\ntested: {arguments.phantom}, {test}\n{as_markdown(rows, test)}")
    for test in UNSEEN if flat else ():
        print(f"\ntrained on flat scans, tested {test}\n{as_markdown(flat, test)}")
    print(f"\n{costs(rows)}")
    if rows:
        picture = arguments.out / "sample_efficiency.png"
        draw(picture, dict.fromkeys(study.tests[ANY], rows), dict.fromkeys(UNSEEN, flat) if flat else {})
        print(f"\nwrote {picture}: look at it; the numbers are kept in {study.cells}")


if __name__ == "__main__":
    main(sys.argv[1:])
