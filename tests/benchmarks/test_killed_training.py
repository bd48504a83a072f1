"""What the benchmark of killed trainings finds in a folder, when it kills, and whose processes."""

import os
import random
import subprocess
import sys
import time

import pytest

from benchmarks.harness.processes import children
from benchmarks.killed_training import Kill, Moments, found_after, line, options_of, saved_step
from shd.errors import ShdError
from shd.io.checkpoints import write_state

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper():
    program = subprocess.Popen(SLEEP)
    yield program
    program.kill()
    program.wait()


def test_a_whole_checkpoint_a_damaged_one_and_none(tmp_path):
    assert found_after(tmp_path, 2.0) == Kill(2.0, None, None, True, False) and saved_step(tmp_path) == 0
    checkpoint = tmp_path / "checkpoint.safetensors"
    write_state(checkpoint, {}, {"steps_done": 7})
    whole = found_after(tmp_path, 2.0)
    assert (whole.step, whole.readable) == (7, True) and 0 <= whole.age < 60
    checkpoint.write_bytes(checkpoint.read_bytes()[:20])
    (tmp_path / ".partial-1234-checkpoint.safetensors").touch()
    damaged = found_after(tmp_path, 2.0)
    assert (damaged.step, damaged.readable, damaged.cut_short) == (None, False, True)
    assert line(3, damaged).split(" | ")[2:6:2] == ["none", "NO"]


def test_kills_wait_for_a_step_and_end_with_the_training(tmp_path, sleeper):
    late = Moments(start_up=0.0, step=0.0, most=1, generator=random.Random(0))  # none of this seed is early
    (tmp_path / "checkpoint.json").write_text('{"steps_done": 3}')
    assert late.wait(sleeper, tmp_path, 2)
    sleeper.kill()
    assert not late.wait(sleeper, tmp_path, 3)


def test_children_are_found_while_they_run(sleeper):
    assert sleeper.pid in children(os.getpid())
    sleeper.kill()
    time.sleep(0.2)
    assert sleeper.pid not in children(os.getpid())  # though nobody has waited for it


@pytest.mark.parametrize("option", ["--processes", "--kills", "--steps"])
def test_numbers_below_one_are_refused(option):
    with pytest.raises(ShdError, match="at least 1 of each"):
        options_of([option, "0"])
