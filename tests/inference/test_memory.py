"""Boxes follow the memory that is free."""

import os
import subprocess
import sys
from itertools import product
from math import prod
from pathlib import Path

import pytest
import torch

from shd.inference import memory
from shd.inference.memory import available_memory, best_cores, bytes_per_voxel, voxels_that_fit
from shd.models.config import ModelConfig
from shd.scans.tiles import split_span
from tests.support.engines import require

CPU = torch.device("cpu")
CONFIG = ModelConfig(9, width=32)


def test_free_memory_is_some_and_less_than_the_machines():
    assert 2**26 < available_memory(CPU) < 2**46


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Folders in place of the system's control groups and of what it says of this process; their setting."""
    groups, process = tmp_path / "cgroup", tmp_path / "self"
    for folder in (groups, process):
        folder.mkdir()
    monkeypatch.setattr(memory, "_GROUPS", groups)
    monkeypatch.setattr(memory, "_PROCESS", process)

    def write(path, **files):
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("_max", ".max").replace("_current", ".current")).write_text(content)

    return write


def test_a_container_has_less_than_its_machine(system):
    system("cgroup", memory_max="5000000\n", memory_current="2000000\n")
    assert available_memory(CPU) == 3_000_000


def test_a_job_of_a_batch_system_has_less_than_its_node(system):
    """Its group lies deep below the root; the innermost need not be the tightest."""
    system("self", cgroup="0::/slurm/job_7/step_0\n")
    system("cgroup/slurm/job_7/step_0", memory_max="9000000\n", memory_current="1000000\n")
    system("cgroup/slurm/job_7", memory_max="5000000\n", memory_current="2000000\n")
    assert available_memory(CPU) == 3_000_000


def test_groups_of_the_first_version(system, tmp_path):
    system("self", cgroup="7:cpu:/other\n4:memory:/job\n")
    folder = tmp_path / "cgroup" / "memory" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("5000000\n")
    (folder / "memory.usage_in_bytes").write_text("1000000\n")
    assert available_memory(CPU) == 4_000_000


def test_files_that_the_system_keeps_give_way(system, tmp_path):
    system("cgroup", memory_max="5000000\n", memory_current="4000000\n")
    (tmp_path / "cgroup" / "memory.stat").write_text("anon 1000000\ninactive_file 2500000\n")
    assert available_memory(CPU) == 3_500_000


@pytest.mark.parametrize("content", ["max\n", ""])
def test_no_limit_is_no_error(system, content):
    free = available_memory(CPU)
    system("cgroup", memory_max=content)
    assert available_memory(CPU) == pytest.approx(free, rel=0.5)


def test_a_limit_of_address_space_counts(system):
    words = "Max address space         {}           unlimited            bytes\n"
    free = available_memory(CPU)
    system("self", statm="10 5 3\n", limits=words.format("unlimited"))
    assert available_memory(CPU) == pytest.approx(free, rel=0.5)
    system("self", limits=words.format(50_000_000))
    assert available_memory(CPU) == 50_000_000 - 10 * os.sysconf("SC_PAGE_SIZE")


def test_a_system_without_meminfo(monkeypatch):
    def missing(path, *arguments):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert available_memory(CPU) > 2**26


def test_boxes_grow_with_free_memory_in_steps(monkeypatch):
    found = []
    for gigabytes in (2, 2.025, 4, 7):
        monkeypatch.setattr(memory, "available_memory", lambda device, g=gigabytes: int(g * 1e9))
        found.append(voxels_that_fit(CONFIG, CPU))
        assert found[-1] * bytes_per_voxel(CONFIG) <= gigabytes * 0.5e9
    assert found[0] == found[1] and found[2] == pytest.approx(2 * found[0], abs=2) and found[3] > found[2]


def test_a_box_on_a_processor_takes_four_gigabytes_at_most(monkeypatch):
    """Beyond, a brain's boxes hold little less in all, and the memory is better left to others."""
    monkeypatch.setattr(memory, "available_memory", lambda device: 1 << 37)
    assert voxels_that_fit(CONFIG, CPU) * bytes_per_voxel(CONFIG) <= 4 << 30
    assert voxels_that_fit(CONFIG, torch.device("cuda")) > 10 * voxels_that_fit(CONFIG, CPU)


BOX = """
import torch
from shd.engines import set_engine
from shd.inference.memory import bytes_per_voxel
from shd.io.checkpoints import read_model
from tests.support.memory import memory_taken

def box(side):
    mask = torch.ones(1, side, side, side, 1)
    held = [torch.rand(384, 1, side, side, side, model.config.input_channels)]
    with torch.no_grad():
        return model.consume(held, mask, (slice(2, side - 2),) * 3)

torch.set_num_threads(1)
model = read_model("base").network
set_engine(model, "compiled")
box(4)
print(memory_taken(lambda: box(16)) / 16**3 / bytes_per_voxel(model.config))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_a_box_takes_what_is_said():
    """The features are given up when the network has them, and the first stage's answer but for the window."""
    require("compiled")
    ran = subprocess.run([sys.executable, "-c", BOX], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert 0.6 < float(ran.stdout) <= 1.0


def test_engines_that_take_more_get_smaller_boxes():
    assert bytes_per_voxel(CONFIG, "torch") == 16 * bytes_per_voxel(CONFIG)


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
