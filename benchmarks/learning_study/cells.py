"""One network trained with truth on some boxes: its scores on scans that it has not seen."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy_table.cells import CEILING, THRESHOLD, scores_of
from benchmarks.deconvolvers.training import NETWORKS, maker
from benchmarks.learning_study.boxes import UnseenScan, drawn, validated
from shd.evaluation.assessment import assess_ceiling, assess_fods
from shd.evaluation.truth import Truth
from shd.fitting.fit import DEGREE
from shd.inference.tiled import deconvolve
from shd.models.deconvolver import Deconvolver
from shd.scans.normalisation import normalise
from shd.training.course import Course
from shd.training.population import PopulationTraining, TrainSettings

__all__ = ["METHODS", "UNTRAINED", "Method", "Training", "measure", "measure_untrained", "searched"]

UNTRAINED = "estimate"
"""The key of a network before its first step, which answers with the coherent estimate."""

_VALIDATIONS = 4


@dataclass(frozen=True)
class Method:
    """A row of the tables. network: key of `NETWORKS`. times: steps for each of ours. rate_of: the method whose
    learning rate it takes, itself if None: of RT-ESD, which is our network to rounding, and of a row that differs in
    steps alone.
    """

    name: str
    network: str
    times: float = 1.0
    rate_of: str | None = None


METHODS = {
    "mlp": Method("MLP", "mlp"),
    "cnn": Method("CNN", "cnn"),
    "cnn-long": Method("CNN, 3 times the steps", "cnn", 3.0, "cnn"),
    "ponita": Method("PONITA, equal time", "ponita", 1 / 7),
    "ponita-steps": Method("PONITA, equal steps", "ponita", 1.0, "ponita"),
    "rt-esd": Method("RT-ESD", "rt-esd", 1.0, "shd"),
    "shd": Method("shd (ours)", "shd"),
}


@dataclass(frozen=True)
class Training:
    """What a network learns from and how long. folder: of the boxes. on: `ANY` or `FLAT`. steps: of our network."""

    folder: Path
    on: str
    seed: int
    count: int
    steps: int

    def run(self, method: Method, rate: float) -> Course:
        """Return the training of a method to its end: the loss, features, heads and optimiser are those of `shd train`.

        The weights of the best of a few validations count, those before the first step among them.
        """
        network = NETWORKS[method.network]
        settings = TrainSettings(
            steps=max(1, round(self.steps * method.times)), batch=1, width=8, levels=3, learning_rate=rate, warm_up=0.1,
            device="cpu", engine=network.engine, seed=self.seed,
        )  # fmt: skip
        training = PopulationTraining(settings, build=maker(network, np.eye(3)))  # every scan is in voxel axes
        course = Course(training, _VALIDATIONS, None, "")
        scored = [training.prepare(example) for example in validated(self.folder, self.on)]
        examples = drawn(self.folder, self.on, self.seed, self.count)
        course.validate(scored)
        while not course.finished:
            if course.step([training.prepare(examples[course.steps_done])], 0.0):
                course.validate(scored)
        return course

    @property
    def voxels(self) -> int:
        """How many voxels the boxes have inside their masks."""
        series = drawn(self.folder, self.on, self.seed, self.count).examples
        return sum(len(series[number].scan.b0) for number in range(self.count))


def searched(key: str, training: Training, rate: float) -> dict[str, Any]:
    """Return the lowest loss of a validation that a method reaches with a learning rate."""
    return {"held_out": training.run(METHODS[key], rate).best_loss}


def measure(key: str, training: Training, rate: float, tests: Mapping[str, UnseenScan]) -> dict[str, Any]:
    """Return scores by test, with what the training took; seconds: of the processor, without making the boxes."""
    voxels = training.voxels  # makes the boxes as well
    validated(training.folder, training.on)  # so does this
    begun = time.process_time()
    course = training.run(METHODS[key], rate)
    seconds = time.process_time() - begun
    model = course.best_model()
    return {
        "scores": {name: _scores(model, test) for name, test in tests.items()},
        "steps": course.steps_done, "seconds": seconds, "voxels": voxels, "rate": rate,
        "parameters": sum(weight.numel() for weight in model.unet.parameters()),
        "held_out": course.best_loss,
        "best_step": min(course.history, key=lambda row: row["held_out"])["step"],
    }  # fmt: skip


def measure_untrained(key: str, tests: Mapping[str, UnseenScan]) -> dict[str, Any]:
    """Return scores by test of a row that learns nothing: `UNTRAINED` or `CEILING`."""
    if key == CEILING:
        return {"scores": {name: scores_of(assess_ceiling(Truth.of(test.phantom))) for name, test in tests.items()}}
    model = Deconvolver(TrainSettings(width=8, levels=3).config).eval()
    return {"scores": {name: _scores(model, test) for name, test in tests.items()}}


def _scores(model: Deconvolver, test: UnseenScan) -> dict[str, float]:
    phantom = test.phantom
    scan = normalise(phantom.scan)
    fod = deconvolve(model, scan, phantom.responses, degree=DEGREE, estimates=test.estimates)
    return scores_of(assess_fods("network", fod, Truth.of(phantom), threshold=THRESHOLD))
