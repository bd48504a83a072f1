"""Boxes follow the memory that is free."""

from pathlib import Path

import pytest
import torch

from shd.inference import memory
from shd.inference.memory import available_memory, bytes_per_voxel, largest_core
from shd.models.config import ModelConfig

CPU = torch.device("cpu")
CONFIG = ModelConfig(9, width=32)


def test_free_memory_is_some_and_less_than_the_machines():
    assert 2**26 < available_memory(CPU) < 2**46


def test_a_container_has_less_than_its_machine(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_memory(CPU) == 3_000_000


@pytest.mark.parametrize("content", ["max\n", ""])
def test_no_limit_is_no_error(monkeypatch, tmp_path, content):
    free = available_memory(CPU)
    (tmp_path / "memory.max").write_text(content)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert available_memory(CPU) == pytest.approx(free, rel=0.5)


def test_a_system_without_meminfo(monkeypatch):
    def missing(path, *arguments):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert available_memory(CPU) > 2**26


@pytest.mark.parametrize(("gigabytes", "core"), [(0.01, 8), (4, 8), (24, 24), (64, 32), (1000, 64)])
def test_boxes_grow_with_free_memory(monkeypatch, gigabytes, core):
    monkeypatch.setattr(memory, "available_memory", lambda device: int(gigabytes * 1e9))
    assert largest_core(CONFIG, 6, CPU) == core


def test_engines_that_take_more_get_smaller_boxes(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: int(64e9))
    assert bytes_per_voxel(CONFIG, "torch") == 4 * bytes_per_voxel(CONFIG)
    assert largest_core(CONFIG, 6, CPU, "torch") < largest_core(CONFIG, 6, CPU)


def test_cores_are_multiples_of_the_pooling(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 1)
    assert largest_core(ModelConfig(9, nside=8, levels=4, spatial_poolings=3, width=8), 8, CPU) == 8
