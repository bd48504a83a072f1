"""Examples of a training, kept on disk with their estimates: made once, read as often as they are seen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from shd.errors import CheckpointError
from shd.graphs.hemisphere import vertex_directions
from shd.io.atomic import whole_file
from shd.scans.coherent_estimate import Coherence, estimate_scan
from shd.scans.normalisation import NormalisedScan
from shd.signal.gradients import Gradients, Shell
from shd.signal.response import Response
from shd.training.examples import Example, Examples, ExampleTarget, ExampleTruth

__all__ = ["KeptExamples", "read_example", "write_example"]


_TARGET = "target."


def write_example(path: Path, example: Example) -> None:
    """Write an example; the file appears whole."""
    arrays, description = _measured(example)
    if example.truth is not None:
        arrays |= {"fods": example.truth.fods, "tissues": example.truth.tissues}
    if example.estimates is not None:
        arrays["estimates"] = example.estimates
    if example.target is not None:
        more, description["target"] = _measured(example.target)
        arrays |= {_TARGET + name: array for name, array in more.items()}
    with whole_file(path) as partial:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            partial,
            {"example": json.dumps(description)},
        )


def read_example(path: Path) -> Example:
    """Return an example from `write_example`. Raises CheckpointError for a file that is none."""
    try:
        with safe_open(path, "numpy") as file:
            description = json.loads(file.metadata()["example"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        truth = ExampleTruth(arrays["fods"], arrays["tissues"]) if "fods" in arrays else None
        target = None
        if "target" in description:
            own = {n.removeprefix(_TARGET): array for n, array in arrays.items() if n.startswith(_TARGET)}
            target = ExampleTarget(*_taken(own, description["target"]))
        return Example(*_taken(arrays, description), truth, arrays.get("estimates"), target)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no example of shd's ({error}); delete it, and it is made again") from error


def _measured(part: Example | ExampleTarget) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return scan, responses and noise as arrays and plain words."""
    scan, gradients = part.scan, part.scan.gradients
    arrays = {
        "signal": scan.signal, "b0": scan.b0, "rows": scan.rows, "affine": scan.affine, "noise": part.noise,
        "bvalues": gradients.bvalues, "directions": gradients.directions,
    }  # fmt: skip
    arrays |= {f"shell.{number}": shell.volumes for number, shell in enumerate(gradients.shells)}
    arrays |= {f"response.{r.tissue}": r.coefficients for r in part.responses}
    arrays["response_bvalues"] = part.responses[0].bvalues
    words = {"shells": [shell.bvalue for shell in gradients.shells], "tissues": [r.tissue for r in part.responses]}
    return arrays, words


def _taken(
    arrays: Mapping[str, np.ndarray], words: Mapping[str, Any]
) -> tuple[NormalisedScan, tuple[Response, ...], np.ndarray]:
    """Return scan, responses and noise from what `_measured` gave."""
    shells = tuple(Shell(b, arrays[f"shell.{number}"]) for number, b in enumerate(words["shells"]))
    gradients = Gradients(arrays["bvalues"], arrays["directions"], shells)
    scan = NormalisedScan(arrays["signal"], arrays["b0"], arrays["rows"], gradients, arrays["affine"])
    responses = tuple(
        Response(tissue, arrays["response_bvalues"], arrays[f"response.{tissue}"]) for tissue in words["tissues"]
    )
    return scan, responses, arrays["noise"]


@dataclass(frozen=True)
class KeptExamples:
    """Examples with their estimates for networks of this nside, from `folder` where they are kept already."""

    examples: Examples
    folder: Path
    nside: int = 8
    coherence: Coherence = field(default_factory=Coherence)

    def __getitem__(self, number: int) -> Example:
        """Return one example."""
        path = self.folder / f"{number:06d}.safetensors"
        if path.exists():
            return read_example(path)
        example = self.examples[number]
        vertices = vertex_directions(self.nside, hemisphere=True)
        with torch.inference_mode():
            estimates = estimate_scan(
                example.scan, example.responses, vertices, coherence=self.coherence, noise=example.noise
            )
        example = replace(example, estimates=estimates)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_example(path, example)
        return example
