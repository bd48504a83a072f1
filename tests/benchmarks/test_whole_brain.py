"""A whole brain beside MRtrix3, and the processes that are measured."""

import json
import sys

import pytest

from benchmarks import whole_brain
from benchmarks.harness.processes import ProgramError, measured_process
from benchmarks.whole_brain import Row, line, said, voxel_mm
from shd.simulation.brain import brain_geometry
from shd.simulation.phantoms import measured
from shd.simulation.protocols import Protocol

MIB = 2**20


def python(code):
    return [sys.executable, "-S", "-c", code]


def test_memory_is_of_the_program_alone():
    """This process, which holds torch, is larger than the program measured."""
    held = [0] * (100 * MIB // 8)
    idle = measured_process(python("pass"), {})
    assert 1 * MIB < idle.memory < 60 * MIB
    large = measured_process(python(f"held = bytearray({80 * MIB})"), {})
    assert large.memory - idle.memory == pytest.approx(80 * MIB, rel=0.1)
    del held


def test_wall_clock_and_processor_time():
    waits = measured_process(python("import time; time.sleep(0.5)"), {})
    assert 0.5 <= waits.wall < 5.0
    assert waits.processor < 0.4
    works = measured_process(python("import time\nwhile time.process_time() < 0.5: pass"), {})
    assert works.processor >= 0.5


def test_the_environment_reaches_the_program():
    measured_process(python("import os; assert os.environ['COLOUR'] == 'red'"), {"COLOUR": "red"})


def test_a_program_that_fails_says_why():
    with pytest.raises(ProgramError, match=r"(?s)ended with 3: no luck"):
        measured_process(python("import sys; print('no luck'); sys.exit(3)"), {})
    with pytest.raises(ProgramError, match="ended with 127"):
        measured_process(["no-such-program"], {})


@pytest.mark.parametrize("voxels", [1000, 10_000])
def test_the_voxel_size_gives_the_voxels_asked_for(voxels):
    protocol = Protocol("least", 1, ((1000.0, 6),))
    phantom = measured(brain_geometry(), voxel_mm=voxel_mm(voxels), protocol=protocol)
    assert phantom.scan.mask.sum() == pytest.approx(voxels, rel=0.1)


def test_rows_are_compared_with_the_other_program_of_their_size():
    rows = [
        Row("shd infer", 100, 4.0, 1.0, 4.0, 200 * MIB),
        Row("msmt_csd, degree 8", 100, 8.0, None, 16.0, 100 * MIB),
        Row("shd infer", 1000, 12.0, 9.0, 12.0, 200 * MIB),
    ]
    assert line(rows[0]) == "| shd infer | 100 | 4.0 s | 25 | 1.0 s | 10000 µs | 4 s | 0.20 GiB |"
    assert line(rows[1]) == "| msmt_csd, degree 8 | 100 | 8.0 s | 12 | – | 80000 µs | 16 s | 0.10 GiB |"
    assert said(rows) == [
        "100 voxels: shd infer takes 0.50 times as long as msmt_csd, degree 8 and 2.00 times its memory",
        "cost of a voxel: 9000 µs (1000 voxels) to 10000 µs (100 voxels): ± 5 %".replace("(100 voxels)", "(100)"),
    ]


@pytest.mark.slow
def test_both_programs_run_on_the_same_scan(tmp_path, capsys):
    whole_brain.main(["--model", "estimate", "--voxels", "1000", "--threads", "1", "--out", str(tmp_path)])
    record = json.loads((tmp_path / "whole_brain.json").read_text())
    ours, *others = record["rows"]
    assert ours["program"] == "shd infer"
    assert 0 < ours["computing"] < ours["wall"]
    assert ours["voxels"] == pytest.approx(1000, rel=0.1)
    assert all(row["voxels"] == ours["voxels"] for row in others)
    assert f"| shd infer | {ours['voxels']} |" in capsys.readouterr().out
    assert (tmp_path / "brain_1000/infer/wm_fod.nii.gz").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--voxels", "many"], "--voxels many: whole numbers"),
        (["--voxels", "10"], "--voxels 10: a brain needs at least 1000"),
        (["--threads", "0"], "--threads 0: this machine has"),
        (["--degree", "7"], "--degree 7: give an even degree"),
        (["--model", "magic"], "--model magic: magic is no file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        whole_brain.main(["--model", "estimate", *options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
