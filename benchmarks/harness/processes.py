"""Other programs in processes of their own: wall clock, processor time and peak memory, and what they started."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shd.errors import ShdError

__all__ = ["ProcessUse", "ProgramError", "children", "measured_process"]

# A new process counts the memory of the one that started it, so the program is started by a Python that holds nothing.
_STARTER = """
import json, os, sys, time
result, program = sys.argv[1], sys.argv[2:]
started = time.perf_counter()
_, status, usage = os.wait4(os.spawnvp(os.P_NOWAIT, program[0], program), 0)
wall = time.perf_counter() - started
unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kB on Linux
numbers = [os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit]
with open(result, "w") as file:
    json.dump(numbers, file)
"""
_SAID = 2000  # last characters of what a failed program said


class ProgramError(ShdError):
    """A measured program failed."""


@dataclass(frozen=True)
class ProcessUse:
    """wall, processor: seconds. memory: largest resident set, bytes."""

    wall: float
    processor: float
    memory: int


def measured_process(command: Sequence[str | Path], environment: Mapping[str, str]) -> ProcessUse:
    """Return what a program used. environment: added to this process's. Raises ProgramError where it fails."""
    words = [str(word) for word in command]
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "use.json"
        started = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STARTER, str(result), *words],
            env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = (started.stdout + started.stderr).strip()[-_SAID:]
        if not result.is_file():
            raise ProgramError(f"{words[0]} could not be started: {said}")
        code, wall, processor, memory = json.loads(result.read_text())
    if code:
        raise ProgramError(f"{' '.join(words)} ended with {code}: {said}")
    return ProcessUse(wall, processor, memory)


def children(pid: int) -> list[int]:
    """Return the running processes that a process has started. Raises ProgramError where there is no /proc."""
    states = Path("/proc")
    if not (states / "self" / "stat").exists():
        raise ProgramError("there is no /proc to find processes in; run this on Linux")
    found = []
    for path in states.glob("[0-9]*/stat"):
        try:
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(path.parent.name))
    return sorted(found)
