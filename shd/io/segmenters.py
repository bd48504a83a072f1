"""Segmentation networks as safetensors: weights, configuration, q-table with voxels, labels and thresholds."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import nn

from shd._version import __version__
from shd.errors import CheckpointError, ShdError
from shd.io.checkpoints import read_tensors, write_tensors
from shd.models.pq.config import SegmentationConfig
from shd.models.pq.q_space import q_coordinates
from shd.models.pq.segmenter import build_segmenter
from shd.scans.q_table import QTable
from shd.scans.voxels import Voxels

__all__ = ["StoredSegmenter", "network_for", "read_segmenter", "write_segmenter"]

_KIND = "segmentation network"


@dataclass(frozen=True, eq=False)
class StoredSegmenter:
    """A network and what it is for. labels: values of its answers in label images, the background 0 first. thresholds:
    of each label but the background, the probability of the best Dice on subjects that were held out.
    """

    network: nn.Module
    config: SegmentationConfig
    table: QTable
    labels: tuple[int, ...]
    thresholds: tuple[float, ...]


def network_for(config: SegmentationConfig, table: QTable) -> nn.Module:
    """Return an untrained network for a q-table."""
    return build_segmenter(config, q_coordinates(table.gradients(), np.eye(4)))


def write_segmenter(path: str | Path, stored: StoredSegmenter) -> None:
    """Write a network; the file appears whole."""
    description = {
        "config": asdict(stored.config),
        "bvalues": stored.table.bvalues.tolist(),
        "directions": stored.table.directions.tolist(),
        "voxels": asdict(stored.table.voxels),
        "labels": list(stored.labels),
        "thresholds": list(stored.thresholds),
    }
    write_tensors(path, stored.network.state_dict(), _KIND, description)


def read_segmenter(path: str | Path, device: str = "cpu") -> StoredSegmenter:
    """Return a network ready for inference. Raises CheckpointError where the file is none, or of another version."""
    tensors, description = read_tensors(path, _KIND)
    try:
        config = SegmentationConfig(**description["config"])
        x, y, z = map(float, description["voxels"]["sizes"])
        voxels = Voxels((x, y, z), bool(description["voxels"]["right_handed"]))
        table = QTable(np.array(description["bvalues"]), np.array(description["directions"]), voxels)
        network = network_for(config, table)
        network.load_state_dict(tensors)
        labels, thresholds = tuple(map(int, description["labels"])), tuple(map(float, description["thresholds"]))
    except (KeyError, TypeError, ValueError, RuntimeError, ShdError) as error:
        reason = " ".join(line.strip() for line in f"{type(error).__name__}: {error}".splitlines()[:2])
        raise CheckpointError(
            f"{path}: written by shd {description['version']}, does not fit shd {__version__} ({reason}); train again"
        ) from error
    return StoredSegmenter(network.to(device).eval(), config, table, labels, thresholds)
