"""Examples of a training, kept on disk with their estimates: made once, read as often as they are seen."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

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
from shd.training.examples import Example, Examples, ExampleTruth

__all__ = ["KeptExamples", "read_example", "write_example"]


def write_example(path: Path, example: Example) -> None:
    """Write an example; the file appears whole."""
    scan, gradients = example.scan, example.scan.gradients
    arrays = {
        "signal": scan.signal, "b0": scan.b0, "rows": scan.rows, "affine": scan.affine, "noise": example.noise,
        "bvalues": gradients.bvalues, "directions": gradients.directions,
    }  # fmt: skip
    arrays |= {f"shell.{number}": shell.volumes for number, shell in enumerate(gradients.shells)}
    arrays |= {f"response.{r.tissue}": r.coefficients for r in example.responses}
    arrays["response_bvalues"] = example.responses[0].bvalues
    if example.truth is not None:
        arrays |= {"fods": example.truth.fods, "tissues": example.truth.tissues}
    if example.estimates is not None:
        arrays["estimates"] = example.estimates
    description = {
        "shells": [shell.bvalue for shell in gradients.shells], "tissues": [r.tissue for r in example.responses]
    }  # fmt: skip
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
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no example of shd's ({error}); delete it, and it is made again") from error
    shells = tuple(Shell(b, arrays[f"shell.{number}"]) for number, b in enumerate(description["shells"]))
    scan = NormalisedScan(
        arrays["signal"], arrays["b0"], arrays["rows"],
        Gradients(arrays["bvalues"], arrays["directions"], shells), arrays["affine"],
    )  # fmt: skip
    responses = tuple(
        Response(tissue, arrays["response_bvalues"], arrays[f"response.{tissue}"]) for tissue in description["tissues"]
    )
    truth = ExampleTruth(arrays["fods"], arrays["tissues"]) if "fods" in arrays else None
    return Example(scan, responses, arrays["noise"], truth, arrays.get("estimates"))


@dataclass(frozen=True)
class KeptExamples:
    """Examples with their estimates for networks of this nside, from `folder` where they are kept already."""

    examples: Examples
    folder: Path
    nside: int = 8
    coherence: Coherence = Coherence()

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
        write_example(path, example)
        return example
