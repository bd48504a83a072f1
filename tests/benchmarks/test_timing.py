"""Medians of repeated calls, and memory at its peak."""

import subprocess
import sys
import time

import pytest

from benchmarks.harness import timing
from benchmarks.harness.timing import Patience, Timing, measure


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `sleep` moves."""

    class Clock:
        now = 0.0

        def sleep(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_the_first_calls_are_not_counted_and_the_middle_one_is_kept(clock):
    durations = iter([50.0, 3.0, 1.0, 2.0, 9.0, 4.0])
    found = measure(lambda: clock.sleep(next(durations)), Patience(seconds=1.0, least=5, most=100.0))
    assert found == Timing(median=3.0, fastest=1.0, slowest=9.0, repeats=5)


def test_a_quick_call_is_repeated_for_the_seconds_asked(clock):
    assert measure(lambda: clock.sleep(0.125), Patience(seconds=1.5, least=5)).repeats == 12


def test_a_slow_call_is_not_repeated_beyond_patience(clock):
    assert measure(lambda: clock.sleep(4.0), Patience(seconds=1.5, least=5, most=7.0)).repeats == 2
    assert measure(lambda: clock.sleep(40.0), Patience(seconds=1.5, least=5, most=7.0)).repeats == 1


def test_calls_made_before_warm_up_as_well(clock):
    made = []
    measure(lambda: (made.append(0), clock.sleep(0.125)), Patience(0.125, 1), warmed=0.2)
    assert len(made) == 1
    made.clear()
    measure(lambda: (made.append(0), clock.sleep(0.125)), Patience(0.125, 1))
    assert len(made) == 1 + 2


def test_a_real_call_takes_its_time():
    assert 0.01 <= measure(lambda: time.sleep(0.01), Patience(0.0, 3)).fastest < 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's mark of resident memory is Linux's")
@pytest.mark.parametrize("megabytes", [0, 20, 100])
def test_peak_memory_is_that_of_the_largest_moment(megabytes):
    # in a process of its own: what other tests left in the heap decides where freed memory goes
    program = f"""
import numpy as np
from benchmarks.harness.timing import peak_memory

def call():
    held = np.ones({megabytes} * 2**17)
    del held
    return np.ones({megabytes} * 2**16)

print(peak_memory(call))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if run.stdout.strip() == "None":
        pytest.skip("this system does not let a process set its mark back")
    found = int(run.stdout)
    assert megabytes * 2**20 <= found + 2**20 < (megabytes + 6) * 2**20
