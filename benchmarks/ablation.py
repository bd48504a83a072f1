"""What each part of the coherent estimate is worth: one left out or changed at a time, on phantoms with truth.

    python -m benchmarks ablation [--phantom tangle] [--protocol research,clinical] [--snr 20] [--seeds 3]

A cell is F1 / angular error at peaks from a tenth of the voxel's highest, then at the threshold of the highest F1;
medians over the seeds. Nothing is trained: the network of `shd fit` begins with these fODFs.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_table.cells import measure_ceiling, scores_of
from benchmarks.accuracy_table.problems import Problem
from shd.evaluation.assessment import assess_fods
from shd.evaluation.truth import Truth
from shd.fodf.field import FodField
from shd.graphs.hemisphere import vertex_directions
from shd.inference.tiled import deconvolve
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import Coherence, estimate_scan
from shd.scans.features import feature_count
from shd.scans.normalisation import normalise
from shd.simulation import Phantom

THRESHOLD = 0.1


@dataclass(frozen=True)
class Variant:
    """A row. degree: of the fODFs."""

    name: str
    coherence: Coherence = Coherence()  # noqa: RUF009  # frozen
    degree: int = 12


VARIANTS = (
    Variant("all"),
    Variant("each voxel alone", Coherence(rounds=0)),
    Variant("no structured sparsity", Coherence(sparsity=0.0)),
    Variant("sparsity without neighbours' directions", Coherence(support=1e3)),
    Variant("no continuity", Coherence(continuity=0.0)),
    Variant("no noise floor", Coherence(noise_floor=False)),
    Variant("no spread over directions", Coherence(spread_degrees=1.0)),
    Variant("12 rounds", Coherence(rounds=12)),
    Variant("degree 8", degree=8),
)


def untrained_fods(phantom: Phantom, variant: Variant) -> FodField:
    """Return the fODFs with which training begins."""
    scan, responses = normalise(phantom.scan), phantom.responses
    tissues = tuple(response.tissue for response in responses)
    config = ModelConfig(feature_count(responses, scan.gradients), tissues, width=8, levels=3)
    vertices = vertex_directions(config.nside, config.hemisphere)
    estimates = estimate_scan(scan, responses, vertices, coherence=variant.coherence)
    model = Deconvolver(config).eval()
    return deconvolve(model, scan, responses, degree=variant.degree, estimates=estimates)


def measure(phantom: Phantom, variant: Variant) -> list[float]:
    """Return F1 and error at 0.1, then at the best threshold."""
    fods = untrained_fods(phantom, variant)
    return _columns(scores_of(assess_fods(variant.name, fods, Truth.of(phantom), threshold=THRESHOLD)))


def _columns(scores: dict[str, float]) -> list[float]:
    return [scores[name] for name in ("f1", "error", "best_f1", "best_error")]


def main(options: Sequence[str] = ()) -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantom", default="tangle")
    parser.add_argument("--protocol", default="research,clinical")
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args(options)
    protocols = arguments.protocol.split(",")
    problems = {
        name: [Problem(arguments.phantom, name, arguments.snr, seed) for seed in range(arguments.seeds)]
        for name in protocols
    }
    phantoms = {name: [problem.make() for problem in each] for name, each in problems.items()}
    print(f"{arguments.phantom}, SNR {arguments.snr:g}, {arguments.seeds} seeds\n")
    print("| | " + " | ".join(f"{name}, from 0.1 | {name}, best threshold" for name in protocols) + " |")
    print("|---" * (1 + 2 * len(protocols)) + "|")
    rows = {"ceiling": [np.median([_columns(measure_ceiling(p)[0]) for p in phantoms[n]], axis=0) for n in protocols]}
    _print("ceiling", rows["ceiling"])
    for variant in VARIANTS:
        _print(variant.name, [np.median([measure(p, variant) for p in phantoms[n]], axis=0) for n in protocols])


def _print(name: str, medians: list[np.ndarray]) -> None:
    cells = [f"{f1:.3f} / {error:.2f}° | {best:.3f} / {its:.2f}°" for f1, error, best, its in medians]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
