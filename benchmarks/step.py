"""One training step of `shd fit` on a simulated crossing, by part.

    python -m benchmarks.step [--widths 8 16 32] [--side 12] [--threads 2]

The step is `SubjectTraining.step` with the settings of a fit: a tile of 8³ voxels, features, network, loss, backward,
AdamW; the rest draws tiles and keeps the running average of the weights. Precision is what a fit chooses for this
processor, and the title says which.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.harness import tables
from benchmarks.harness.cases import Case, Work
from benchmarks.harness.entry import option_parser, prepare, show, store
from benchmarks.layer_systems import FAST_ENGINES
from shd.engines import set_engine
from shd.fitting.budget import default_settings
from shd.scans.features import SphericalFeatures
from shd.scans.normalisation import normalise
from shd.simulation import Phantom, crossing_phantom
from shd.training.subject import SubjectTraining

PARTS = ("features", "network", "loss", "backward", "optimiser", "rest")
_UNENDING = 10**6  # steps: the learning rate stays where warm-up begins, so that nothing changes while it is timed


class StepTimer:
    """Times the parts of a `SubjectTraining`'s steps from outside, by wrapping what a step calls."""

    def __init__(self, training: SubjectTraining) -> None:
        self.training = training
        self.taken: dict[str, list[float]] = {name: [] for name in PARTS}
        self._loss_ended = 0.0
        (view,) = training.views  # a network from nothing sees all
        training.views = (replace(view, features=self._timed_features(view.features)),)
        model, optimiser = training.optimisation.model, training.optimisation.optimiser
        model.forward = self._timed("network", model.forward)  # type: ignore[method-assign]
        view.objective.terms = self._timed("loss", view.objective.terms)  # type: ignore[method-assign]
        optimiser.step = self._timed("optimiser", optimiser.step)  # type: ignore[method-assign]

    def _timed_features(self, features: SphericalFeatures) -> SphericalFeatures:
        call = self._timed("features", features.__call__)

        class Timed(SphericalFeatures):
            def __call__(self, *arguments: Any) -> Any:
                return call(*arguments)

        return Timed(features.shells, features.harmonics, features.answers)

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            if name == "optimiser":  # what lies between the loss and this is the backward pass
                self.taken["backward"].append(started - self._loss_ended)
            result = call(*arguments, **named)
            ended = time.perf_counter()
            self.taken[name].append(ended - started)
            if name == "loss":
                self._loss_ended = ended
            return result

        return wrapped

    def step(self) -> None:
        """Make one step; what no part explains is the rest."""
        started = time.perf_counter()
        self.training.step()
        whole = time.perf_counter() - started
        self.taken["rest"].append(whole - sum(self.taken[name][-1] for name in PARTS[:-1]))

    def medians(self) -> dict[str, float]:
        """Return the median seconds of each part."""
        return {name: statistics.median(values) for name, values in self.taken.items()}


def step_case(phantom: Phantom, width: int, engine: str, threads: int) -> Case:
    """Return the row of one width and engine."""

    def build() -> Work:
        settings = default_settings(int(phantom.scan.mask.sum()), steps=_UNENDING, width=width, threads=threads)
        training = SubjectTraining(normalise(phantom.scan), phantom.responses, settings)
        set_engine(training.optimisation.model, engine)
        timer = StepTimer(training)
        return Work(call=timer.step, amount=float(settings.batch * settings.tile**3), parts=timer.medians)

    return Case(f"width {width}, {engine}", build)


def main(options: Sequence[str] = ()) -> None:
    """Print a row a width and engine."""
    parser = option_parser(__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--side", type=int, default=12, help="of the phantom in voxels")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    phantom = crossing_phantom(shape=(arguments.side,) * 3)
    title = f"Training step, {arguments.side}³ voxels, float32, {arguments.threads} threads"
    cases = (
        step_case(phantom, width, engine, arguments.threads) for width in arguments.widths for engine in FAST_ENGINES
    )
    results = show(title, cases, [*tables.parts(PARTS), tables.MEMORY])
    store(arguments, {title: results})


if __name__ == "__main__":
    main(sys.argv[1:])
