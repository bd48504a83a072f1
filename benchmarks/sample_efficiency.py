"""Accuracy against the number of training voxels: what symmetry is worth to a network.

    python -m benchmarks sample_efficiency [--methods shd-fit,cnn-tv] [--voxels 32,128,512] [--steps 600] [--out DIR]

Every network trains, as many steps each, on the N voxels around one in the lower half of a phantom, and is then run on
the upper half, of which it has seen nothing; that half is scored. 0 voxels is the answer before training, which is the
first estimate and the same for all. Finished results are kept in DIR/cells and not computed again.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.accuracy_table.cells import scores_of
from benchmarks.accuracy_table.kept import kept
from benchmarks.accuracy_table.problems import Problem
from benchmarks.deconvolvers.methods import METHODS, MethodError, network_of, separable
from benchmarks.deconvolvers.training import Budget, train
from benchmarks.harness.program import errors_in_one_line
from shd.evaluation.assessment import assess_ceiling, assess_fods
from shd.evaluation.truth import Truth
from shd.fitting.budget import default_settings
from shd.fitting.fit import DEGREE
from shd.inference.tiled import deconvolve
from shd.io.atomic import whole_file
from shd.models.deconvolver import Deconvolver
from shd.scans.normalisation import normalise
from shd.signal.response import Response
from shd.simulation import Phantom
from shd.training.subject import SubjectTraining

COLUMNS = (("F1", "f1"), ("error °", "error"), ("success (2)", "success_2"), ("best F1", "best_f1"), ("AUC", "auc"))
DRAWN = COLUMNS[:3]


def training_voxels(phantom: Phantom, count: int, seed: int) -> Bool[np.ndarray, "x y z"]:
    """Return the `count` voxels of the lower half (x) nearest to a random one there that is mostly white matter.

    Sets of one seed are nested. Raises MethodError where the half has fewer voxels.
    """
    lower = phantom.scan.mask.copy()
    lower[_middle(phantom) :] = False
    voxels = np.argwhere(lower)
    if not 1 <= count <= len(voxels):
        raise MethodError(f"--voxels {count}: half of the phantom has {len(voxels)} voxels to train on")
    white = np.argwhere(lower & (phantom.tissue_fractions[..., 0] > 0.9))
    centre = np.random.default_rng(seed).choice(white)
    nearest = np.argsort(np.sum((voxels - centre) ** 2, axis=1), kind="stable")[:count]
    chosen = np.zeros_like(lower)
    chosen[tuple(voxels[nearest].T)] = True
    return chosen


def _middle(phantom: Phantom) -> int:
    return phantom.scan.shape[0] // 2


def unseen_truth(phantom: Phantom) -> Truth:
    """Return the truth of the upper half, less the layer next to the other, whose voxels have neighbours there."""
    truth = Truth.of(phantom)
    upper = truth.mask.copy()
    upper[: _middle(phantom) + 1] = False
    return replace(truth, mask=upper)


def measure(phantom: Phantom, key: str | None, count: int, budget: Budget) -> dict[str, float]:
    """Return the scores on the unseen half of a method trained on `count` voxels, or untrained where `key` is None."""
    responses = separable(phantom.responses, phantom.scan.gradients)
    if key is None:
        model = untrained(phantom, responses)
    else:
        network, weights = network_of(key)
        part = replace(phantom.scan, mask=training_voxels(phantom, count, budget.seed))
        model = train(network, part, responses, budget, weights=weights).model
    fod = deconvolve(model.eval(), normalise(phantom.scan), responses, degree=DEGREE)
    return scores_of(assess_fods(key or "untrained", fod, unseen_truth(phantom)))


def untrained(phantom: Phantom, responses: tuple[Response, ...]) -> Deconvolver:
    """Return our network before its first step."""
    settings = default_settings(int(phantom.scan.mask.sum()), steps=1)
    return SubjectTraining(normalise(phantom.scan), responses, settings).best_model()


class Rows:
    """Medians over the seeds, kept cell by cell; a phantom's seed is also its networks'."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.cells: Path = arguments.out / "cells"
        self.problems = [
            Problem(arguments.phantom, arguments.protocol, arguments.snr, seed) for seed in range(arguments.seeds)
        ]
        self.steps: int = arguments.steps
        self._phantoms: dict[int, Phantom] = {}

    def _phantom(self, problem: Problem) -> Phantom:
        if problem.seed not in self._phantoms:
            self._phantoms = {problem.seed: problem.make()}
        return self._phantoms[problem.seed]

    def _measure(self, problem: Problem, key: str | None, count: int) -> dict[str, float]:
        return measure(self._phantom(problem), key, count, Budget(steps=self.steps, seed=problem.seed))

    def ceiling(self) -> dict[str, float]:
        """Return the scores of the truth itself on the half that is scored."""
        every = [scores_of(assess_ceiling(unseen_truth(self._phantom(problem)))) for problem in self.problems]
        return {name: float(np.median([scores[name] for scores in every])) for name in every[0]}

    def row(self, key: str | None, count: int) -> dict[str, float]:
        """Return a method's scores after training on `count` voxels."""
        every = []
        for problem in self.problems:
            words = (problem.phantom, problem.protocol, f"snr{problem.snr:g}", f"seed{problem.seed}")
            name = "_".join((*words, key or "untrained", f"{count}voxels", f"{self.steps}steps")) + ".json"
            every.append(kept(self.cells / name, partial(self._measure, problem, key, count)))
        return {name: float(np.median([scores[name] for scores in every])) for name in every[0]}


def draw(path: Path, rows: dict[str, dict[int, dict[str, float]]], ceiling: dict[str, float]) -> None:
    """Draw a line a method; the first point is before training, the dashed line the true fODF."""
    figure = Figure(figsize=(12.0, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (title, score) in zip(figure.subplots(1, len(DRAWN)), DRAWN, strict=True):
        for name, by_count in rows.items():
            counts = list(by_count)
            panel.plot(range(len(counts)), [by_count[count][score] for count in counts], "o-", label=name, markersize=4)
            panel.set_xticks(range(len(counts)), [str(count) for count in counts])
        panel.axhline(ceiling[score], linestyle="--", color="black", linewidth=1.0, label="ceiling")
        panel.set_xlabel("training voxels")
        panel.set_title(title.replace("°", "(°)"), fontsize=10)
        panel.grid(True, color="0.92")
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    with whole_file(path) as file:
        figure.savefig(file)


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks sample_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--methods", default="shd-fit,shd-tv,cnn-tv,shd,cnn,esd,mlp", help="with commas between")
    parser.add_argument("--voxels", default="32,128,512,2048", help="with commas between")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--phantom", default="tangle")
    parser.add_argument("--protocol", default="research")
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("sample_efficiency"))
    arguments = parser.parse_args(words)
    arguments.methods = arguments.methods.split(",")
    for key in arguments.methods:
        network_of(key)
    try:
        arguments.voxels = sorted(int(word) for word in arguments.voxels.split(","))
    except ValueError:
        raise MethodError(f"--voxels {arguments.voxels}: whole numbers with commas between") from None
    if min(arguments.steps, arguments.seeds, *arguments.voxels) < 1:
        raise MethodError(
            f"--steps {arguments.steps}, --seeds {arguments.seeds}, --voxels {arguments.voxels}: each at least 1"
        )
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print a row a method and number of voxels, and draw them."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    table = Rows(arguments)
    print("| " + " | ".join(("method", "voxels", *(title for title, _ in COLUMNS))) + " |", flush=True)
    print("|---" * (2 + len(COLUMNS)) + "|")
    before = table.row(None, 0)
    _print_row("before training", 0, before)
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for key in arguments.methods:
        name = METHODS[key].name
        rows[name] = {0: before}
        for count in arguments.voxels:
            rows[name][count] = table.row(key, count)
            _print_row(name, count, rows[name][count])
    ceiling = table.ceiling()
    _print_row("ceiling", 0, ceiling)
    picture = arguments.out / "sample_efficiency.png"
    draw(picture, rows, ceiling)
    print(f"wrote {picture}: look at it; the numbers are kept in {table.cells}")


def _print_row(name: str, count: int, scores: dict[str, float]) -> None:
    numbers = " | ".join(f"{scores[score]:.3f}" for _, score in COLUMNS)
    print(f"| {name} | {count or '–'} | {numbers} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
