import pytest
import torch

from shd.errors import ResourceError
from shd.fitting.device import usable_device


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_what_is_there_is_taken(two_gpus, name):
    assert usable_device(name) == name


def test_the_best_is_chosen_where_none_is_named(two_gpus):
    assert usable_device(None) == "cuda"


def test_a_machine_without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device(None) == "cpu"
    with pytest.raises(ResourceError, match=r"device cuda: .* 0 CUDA devices here; give --device cpu"):
        usable_device("cuda")


def test_a_gpu_too_many(two_gpus):
    with pytest.raises(ResourceError, match=r"device cuda:2: .* 2 CUDA devices here"):
        usable_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:one", "cuda:²", "cpu:0", "CUDA", "mps"])
def test_typos(two_gpus, name):
    with pytest.raises(ResourceError, match="is not one of cpu, cuda"):
        usable_device(name)
