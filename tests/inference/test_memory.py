"""Boxes follow the memory that is free."""

from itertools import product
from math import prod
from pathlib import Path

import pytest
import torch

from shd.inference import memory
from shd.inference.memory import available_memory, best_cores, bytes_per_voxel, voxels_that_fit
from shd.models.config import ModelConfig
from shd.scans.tiles import split_span

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


def test_boxes_grow_with_free_memory_in_steps(monkeypatch):
    found = []
    for gigabytes in (8, 8.1, 16, 32):
        monkeypatch.setattr(memory, "available_memory", lambda device, g=gigabytes: int(g * 1e9))
        found.append(voxels_that_fit(CONFIG, CPU))
        assert found[-1] * bytes_per_voxel(CONFIG) <= gigabytes * 0.5e9
    assert found[0] == found[1] and found[2] == pytest.approx(2 * found[0], abs=2) and found[3] > found[2]


def test_engines_that_take_more_get_smaller_boxes():
    assert bytes_per_voxel(CONFIG, "torch") == 8 * bytes_per_voxel(CONFIG)


def brute_force(spans, halo, factor, voxels):
    """The least work over all even splits, boxes counted voxel by voxel."""
    least = None
    for cores in product(*(range(8, end - first + factor, factor) for first, end in spans)):
        lengths = []
        for (first, end), core in zip(spans, cores, strict=True):
            parts = split_span(first, end, core, factor)
            lengths.append([len({*range(a - halo, a + n + halo)} & {*range(first, end)}) for a, n in parts])
        if prod(map(max, lengths)) <= voxels:
            work = prod(map(sum, lengths))
            least = work if least is None else min(least, work)
    return least


@pytest.mark.parametrize("voxels", [20**3, 30 * 30 * 20, 10**6])
def test_cores_make_the_least_work_that_fits(voxels):
    spans, halo, factor = ((0, 33), (4, 30), (2, 25)), 6, 2
    cores = best_cores(spans, halo, factor, voxels)
    lengths = []
    for (first, end), core in zip(spans, cores, strict=True):
        parts = split_span(first, end, core, factor)
        lengths.append([min(a + n + halo, end) - max(a - halo, first) for a, n in parts])
    assert prod(map(max, lengths)) <= voxels
    assert prod(map(sum, lengths)) == brute_force(spans, halo, factor, voxels)


def test_a_small_scan_is_one_box_and_too_little_memory_gives_the_smallest():
    spans = ((0, 20), (0, 20), (0, 20))
    assert best_cores(spans, 6, 2, 20**3) == (20, 20, 20)
    assert best_cores(spans, 6, 2, 1) == (10, 10, 10)
