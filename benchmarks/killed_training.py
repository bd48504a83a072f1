"""`shd train` killed at random moments: what is found of it each time, and whether it ends as an undisturbed one.

    python -m benchmarks killed_training [--processes 1] [--kills 20] [--steps 400] [--checkpoint-seconds 0]
                                         [--seed 0] [--out DIR]

A tiny network learns from four small simulated scans: once undisturbed, once killed (SIGKILL) so many times. A process
alone is started again by this program. More are run by `torchrun`, which starts all of them again where one, chosen at
random, was killed. Moments are drawn evenly from the start of the processes to so long after it that all kills
come to pass, by the times of the undisturbed training: many fall before the first step. A row a kill: seconds after
the start, step of the checkpoint then, seconds since it was written, and whether a write was under way, of which the
kill leaves a part. At the end: checkpoints that cannot be read, losses and weights against the undisturbed ones. It
needs Linux.
"""

import argparse
import csv
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.processes import ProgramError, children
from benchmarks.harness.program import errors_in_one_line
from shd.errors import CheckpointError
from shd.io.atomic import write_json
from shd.io.checkpoints import read_model, read_state

TINY = (
    "--simulated", "4", "--side", "4", "--width", "2", "--levels", "2", "--batch", "2", "--device", "cpu",
    "--threads", "1",
)  # fmt: skip
CHOICES = {"validation": 2, "validations": 4, "signal": 0.1}
COLUMNS = ("kill", "after", "step of the checkpoint", "written before", "readable", "write cut short")
_USED = 0.6  # part of the training that the kills should see, so that all of them come before its end


@dataclass(frozen=True)
class Kill:
    """What was found after a kill. seconds: since the start. step: of the checkpoint, None where there is none.

    age: seconds since it was written. readable: whether it is whole, or absent. cut_short: whether a part of another is
    beside it.
    """

    seconds: float
    step: int | None
    age: float | None
    readable: bool
    cut_short: bool


class Trial:
    """The command of a training with `processes`, and the folders of its results in `place`."""

    def __init__(self, place: Path, processes: int, steps: int, checkpoint_seconds: float, restarts: int) -> None:
        self.place, self.processes, self.restarts = place, processes, restarts
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "choices.json", CHOICES)
        self.options = [
            *TINY, "--steps", str(steps), "--checkpoint-seconds", str(checkpoint_seconds),
            "--config", str(place / "choices.json"), "--keep", str(place / "kept"),
        ]  # fmt: skip

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start the command; what it says is added to NAME.log."""
        launcher = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.processes}",
             f"--max-restarts={self.restarts}"] if self.processes > 1 else []
        )  # fmt: skip
        command = [sys.executable, *launcher, "-m", "shd", "train", *self.options, "--out", str(self.place / name)]
        with (self.place / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})

    def ended_well(self, program: subprocess.Popen[bytes], name: str) -> None:
        """Wait for the end. Raises ProgramError where the training failed."""
        if program.wait():
            raise ProgramError(f"shd train ended with {program.returncode}; see {self.place / name}.log")

    def trainers(self, program: subprocess.Popen[bytes], old: Sequence[int]) -> list[int]:
        """Return the processes that train, when all are there and none is of `old`; fewer where the program ended."""
        if self.processes == 1:
            return [program.pid]
        while program.poll() is None:
            found = children(program.pid)
            if len(found) == self.processes and not set(found) & set(old):
                return found
            time.sleep(0.01)
        return []


def found_after(folder: Path, seconds: float) -> Kill:
    """Return what a training that was just killed has left in `folder`."""
    checkpoint = folder / "checkpoint.safetensors"
    cut_short = any(folder.glob(".partial-*"))
    if not checkpoint.exists():
        return Kill(seconds, None, None, True, cut_short)
    age = time.time() - checkpoint.stat().st_mtime
    try:
        step = int(read_state(checkpoint)[1]["steps_done"])
    except (CheckpointError, KeyError):
        return Kill(seconds, None, age, False, cut_short)
    return Kill(seconds, step, age, True, cut_short)


def killed(trial: Trial, kills: int, longest: float, generator: random.Random) -> list[Kill]:
    """Kill the training so many times and see it to its end; return what was found after each kill."""
    found: list[Kill] = []
    trainers: list[int] = []
    program = trial.start("killed")
    while len(found) < kills:
        trainers = trial.trainers(program, trainers)
        try:
            program.wait(seconds := generator.uniform(0, longest))
            break  # it was quicker than the kill
        except subprocess.TimeoutExpired:
            os.kill(generator.choice(trainers), signal.SIGKILL)
        found.append(found_after(trial.place / "killed.partial", seconds))
        print(line(len(found), found[-1]), flush=True)
        if trial.processes == 1:
            program.wait()
            program = trial.start("killed")
    trial.ended_well(program, "killed")
    return found


def longest_wait(start_up: float, training: float, kills: int) -> float:
    """Return seconds within which kills at even moments leave so little training a start that all kills come to pass.

    A start that is killed at an even moment of 0 … s + p, with s its start-up, has trained for p²/2(s + p) on average;
    so many of these are a part of the whole training.
    """
    part = 2 * _USED * training / kills
    return start_up + (part + math.sqrt(part**2 + 4 * part * start_up)) / 2


def line(number: int, kill: Kill) -> str:
    """Return a row in Markdown."""
    words = [
        str(number), f"{kill.seconds:.1f} s", "none" if kill.step is None else str(kill.step),
        "–" if kill.age is None else f"{kill.age:.2f} s", "yes" if kill.readable else "NO",
        "yes" if kill.cut_short else "no",
    ]  # fmt: skip
    return "| " + " | ".join(words) + " |"


def losses(folder: Path) -> list[tuple[float, float]]:
    """Return the losses of training and validation, a pair a validation after steps."""
    with (folder / "log.csv").open() as file:
        return [(float(row["loss"]), float(row["held_out"])) for row in csv.DictReader(file) if row["loss"]]


def weight_difference(one: Path, other: Path) -> float:
    """Return the largest difference of a weight between the networks of two folders."""
    states = [read_model(folder / "model.safetensors").network.state_dict() for folder in (one, other)]
    return max(float((value - states[1][name]).abs().max()) for name, value in states[0].items())


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises ProgramError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks killed_training", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--checkpoint-seconds", type=float, default=0.0, help="0: after every step")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=Path("killed_training"))
    arguments = parser.parse_args(words)
    if min(arguments.processes, arguments.kills, arguments.steps) < 1:
        raise ProgramError(
            f"{arguments.processes} processes, {arguments.kills} kills, {arguments.steps} steps: at least 1 of each"
        )
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print a row a kill, and how the end differs."""
    arguments = options_of(options)
    shutil.rmtree(arguments.out, ignore_errors=True)
    place = arguments.out.absolute()
    trial = Trial(place, arguments.processes, arguments.steps, arguments.checkpoint_seconds, arguments.kills)
    began = time.monotonic()
    trial.ended_well(trial.start("undisturbed"), "undisturbed")
    training = float(json.loads((place / "undisturbed" / "run.json").read_text())["seconds"])
    longest = longest_wait(time.monotonic() - began - training, training, arguments.kills)
    print(f"kills within {longest:.1f} s of a start; the undisturbed training took {training:.1f} s\n")
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    kills = killed(trial, arguments.kills, longest, random.Random(arguments.seed))
    report(place, kills)


def report(place: Path, kills: Sequence[Kill]) -> None:
    """Print what the kills did to the result."""
    ours, wanted = losses(place / "killed"), losses(place / "undisturbed")
    largest = max(abs(a - b) for pairs in zip(ours, wanted, strict=True) for a, b in zip(*pairs, strict=True))
    print(f"\nkills: {len(kills)}, of which during a write {sum(kill.cut_short for kill in kills)}")
    print(f"checkpoints that cannot be read: {sum(not kill.readable for kill in kills)}")
    print(f"validation loss at the end: {ours[-1][1]:.9g}, undisturbed {wanted[-1][1]:.9g}")
    print(f"largest difference of a loss in log.csv: {largest:.3g}")
    print(f"largest difference of a weight: {weight_difference(place / 'killed', place / 'undisturbed'):.3g}")


if __name__ == "__main__":
    main(sys.argv[1:])
