"""Every program of `examples/` runs as it stands, and says what its page in the docs says it does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(path):
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=EXAMPLES.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_swapped_layers_turn_with_the_scan_and_plain_ones_do_not():
    plain, swapped = map(float, re.findall(r"off by (\S+)", run(EXAMPLES / "swap_layers.py")))
    assert swapped < 1e-5 and plain > 0.05


def test_every_example_has_a_test_here():
    named = re.findall(r'EXAMPLES / "(\w+\.py)"', Path(__file__).read_text())
    assert sorted(named) == sorted(path.name for path in EXAMPLES.glob("*.py"))
