import os

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import MODES, Mode, Problem, main


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so():
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        main([])


def test_a_mode_leaves_the_settings_as_they_were(monkeypatch):
    monkeypatch.delenv("SHD_FUSED", raising=False)
    before = torch.backends.cuda.matmul.allow_tf32
    with Mode("TF32", fuse=False).on():
        assert (os.environ["SHD_FUSED"], torch.backends.cuda.matmul.allow_tf32) == ("0", True)
    assert ("SHD_FUSED" in os.environ, torch.backends.cuda.matmul.allow_tf32) == (False, before)


def test_one_vertex_and_voxel_by_hand():
    """3 → 5 channels: 4·3·5 multiplications to mix, 2·5 to the vertex and back; 3 numbers in, 5 out three times."""
    problem = Problem(torch.nn.Identity(), torch.ones(1), lambda module, x: x, 1, [(1, 1, 3, 5)])
    assert problem.operations() == 2 * (4 * 3 * 5 + 2 * 5)
    assert problem.traffic(width=4) == 4 * (3 + 3 * 5)


def test_the_unets_blocks_are_on_their_grids(monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda module: module)
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: randn(*shape))
    config = gpu.ModelConfig(2, nside=2, width=4, levels=2, convolutions=1)
    problem = gpu.unet_problem(config, 4)
    assert problem.blocks == [(24, 64, 2, 4), (6, 8, 4, 8), (24, 64, 12, 4)]


def test_every_precision_is_run_both_ways():
    assert len(MODES) == len({mode.name for mode in MODES}) == 6
