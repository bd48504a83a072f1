"""Segmentation networks on disk: what is written is read, and other or damaged files are refused."""

import numpy as np
import pytest
import torch

from shd.errors import CheckpointError
from shd.io.checkpoints import read_model, write_model
from shd.io.segmenters import StoredSegmenter, network_for, read_segmenter, write_segmenter
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.models.pq.config import SegmentationConfig
from shd.scans.q_table import QTable
from shd.scans.voxels import Voxels
from shd.sphere.directions import half_sphere

TABLE = QTable(
    np.repeat([0.0, 1000.0], [1, 7]), np.vstack([np.zeros(3), half_sphere(7)]), Voxels((2.0, 2.0, 2.0), True)
)


def segmenter(kind):
    torch.manual_seed(3)
    config = SegmentationConfig(kind=kind, classes=2, pq_channels=((2, 1),), p_channels=((3, 2),))
    return StoredSegmenter(network_for(config, TABLE).eval(), config, TABLE, (0, 4), (0.375,))


@pytest.mark.parametrize("kind", ["equivariant", "cnn"])
def test_what_is_written_answers_alike_when_read(tmp_path, kind):
    stored = segmenter(kind)
    write_segmenter(tmp_path / "m.safetensors", stored)
    found = read_segmenter(tmp_path / "m.safetensors")
    assert (found.config, found.labels, found.thresholds) == (stored.config, (0, 4), (0.375,))
    assert found.table.difference(TABLE) is None and found.table.voxels == TABLE.voxels and not found.network.training
    signal = torch.randn(1, 8, 4, 4, 4)
    with torch.no_grad():
        assert torch.equal(found.network(signal), stored.network(signal))


def test_a_deconvolvers_file_is_refused_and_the_other_way_round(tmp_path):
    deconvolver, segmentation = tmp_path / "d.safetensors", tmp_path / "s.safetensors"
    write_model(deconvolver, Deconvolver(ModelConfig(input_channels=2, tissues=("wm",), width=2, levels=2)))
    write_segmenter(segmentation, segmenter("cnn"))
    with pytest.raises(CheckpointError, match=r"d.safetensors: holds model, not a segmentation network"):
        read_segmenter(deconvolver)
    with pytest.raises(CheckpointError, match="holds segmentation network, not a model"):
        read_model(segmentation)


def test_a_file_cut_short_or_absent_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    write_segmenter(path, segmenter("cnn"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_segmenter(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_segmenter(tmp_path / "none.safetensors")


def test_weights_of_another_configuration_are_refused(tmp_path):
    stored = segmenter("cnn")
    wrong = StoredSegmenter(segmenter("equivariant").network, stored.config, TABLE, (0, 4), (0.375,))
    write_segmenter(tmp_path / "m.safetensors", wrong)
    with pytest.raises(CheckpointError, match=r"does not fit shd .*train again"):
        read_segmenter(tmp_path / "m.safetensors")
