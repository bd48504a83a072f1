"""Models and training states as safetensors: numbers and plain JSON, nothing that can run code."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from shd._version import __version__
from shd.errors import CheckpointError
from shd.io.atomic import whole_file
from shd.io.model_files import PACKAGED, model_file
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.trained_range import TrainedRange
from shd.signal.response import Response

__all__ = [
    "StoredModel", "read_model", "read_state", "read_tensors", "write_model", "write_state", "write_tensors",
]  # fmt: skip

_WANTED = {
    "model": f"{', '.join(PACKAGED)}, or the model.safetensors of shd fit or shd train",
    "segmentation network": "the model.safetensors of shd segment train",
    "training state": "the checkpoint.safetensors of an interrupted training",
}


class StoredModel(NamedTuple):
    """A network, the responses of the scan it was fitted to (none for any scan), and what it was trained on if told."""

    network: Deconvolver
    responses: tuple[Response, ...]
    trained: TrainedRange | None


def write_model(
    path: str | Path,
    model: Deconvolver,
    responses: tuple[Response, ...] = (),
    trained: TrainedRange | None = None,
) -> None:
    """Write weights, configuration, and what they were trained with; the file appears whole.

    responses: of the scan fitted, none for a network of any scan. trained: the range of the scans trained on.
    """
    description = {
        "config": asdict(model.config),
        "responses": [
            {"tissue": r.tissue, "bvalues": r.bvalues.tolist(), "coefficients": r.coefficients.tolist()}
            for r in responses
        ],
        "trained": dict(trained.ends) if trained else None,
    }
    write_tensors(path, model.state_dict(), "model", description)


def read_model(path: str | Path, device: str = "cpu") -> StoredModel:
    """Return the model, ready for inference, with its responses and what it was trained on.

    path: as `model_file` takes it. Raises CheckpointError where there is none, the file is no model of shd's, or its
    weights do not fit its configuration.
    """
    tensors, description = read_tensors(model_file(path), "model")
    try:
        plain = description["config"].items()
        config: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain}
        model = Deconvolver(ModelConfig(**config))
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
        trained = description.get("trained")
        ends = {name: (float(low), float(high)) for name, (low, high) in trained.items()} if trained else None
        responses = tuple(
            Response(r["tissue"], np.array(r["bvalues"]), np.array(r["coefficients"]))
            for r in description["responses"]
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(line.strip() for line in f"{type(error).__name__}: {error}".splitlines()[:2])
        raise CheckpointError(
            f"{path}: written by shd {description['version']}, does not fit shd {__version__} ({reason}); fit again"
        ) from error
    return StoredModel(model.to(device).eval(), responses, None if ends is None else TrainedRange(ends))


def write_state(path: str | Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write what another process needs to go on training; the file appears whole."""
    write_tensors(path, tensors, "training state", description)


def read_state(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what `write_state` was given. Raises CheckpointError where the file cannot be read."""
    return read_tensors(path, "training state")


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], kind: str, description: Mapping[str, Any]) -> None:
    """Write tensors and plain JSON as a file of this kind, with the version of shd; the file appears whole."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps({"kind": kind, "version": __version__, **description})
    with whole_file(path) as partial:
        mode = partial.stat().st_mode  # safetensors makes files that only their owner may read, whatever the umask
        save_file(plain, partial, metadata={"shd": text})
        partial.chmod(mode)


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what `write_tensors` was given. Raises CheckpointError where the file is damaged, or of another kind."""
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get("shd", "{}")
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        reason = "it is a folder" if Path(path).is_dir() else error
        raise CheckpointError(f"{path}: cannot be read ({reason}); give {_WANTED[kind]}") from error
    description = json.loads(text)
    if description.get("kind") != kind:
        held = description.get("kind", "no data of shd")
        raise CheckpointError(f"{path}: holds {held}, not a {kind}; give {_WANTED[kind]}")
    return tensors, description
