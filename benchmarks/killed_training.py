"""`shd train` killed at random moments: what is found of it each time, and whether it ends as an undisturbed one.

    python -m benchmarks killed_training [--processes 1] [--kills 20] [--steps 200] [--checkpoint-seconds 0]
                                         [--seed 0] [--out DIR]

A tiny network learns from four small simulated scans: once undisturbed, once killed (SIGKILL) so many times. A process
alone is started again by this program. More are run by `torchrun`, which starts all of them again where one, chosen at
random, was killed. One kill in three comes at a moment drawn from the start-up of the undisturbed training, while
a checkpoint is looked for and read, the others within a step's time after so many steps from the last checkpoint as are
drawn, few enough for all kills to come to pass. A row a kill: seconds after the start, step of the checkpoint then,
seconds since it was written, and whether a write was under way, of which the kill leaves a part. At the end:
checkpoints that cannot be read, losses and weights against the undisturbed ones. It needs Linux.
"""

import argparse
import csv
import json
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
_EARLY = 1 / 3  # of the kills


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


def saved_step(folder: Path) -> int:
    """Return the step of the checkpoint in `folder`, 0 where there is none."""
    try:
        return int(json.loads((folder / "checkpoint.json").read_text())["steps_done"])
    except FileNotFoundError:
        return 0


@dataclass(frozen=True)
class Moments:
    """When kills come. start_up, step: seconds of an undisturbed training. most: steps until a kill after the last."""

    start_up: float
    step: float
    most: int
    generator: random.Random

    def wait(self, program: subprocess.Popen[bytes], folder: Path, step: int) -> bool:
        """Wait for a random moment of a training started at this step; return whether it was there to see it."""
        seconds = self.generator.uniform(0, self.start_up)
        if self.generator.random() >= _EARLY:
            wanted = step + self.generator.randint(1, self.most)
            while saved_step(folder) < wanted and program.poll() is None:
                time.sleep(0.005)
            seconds = self.generator.uniform(0, self.step)
        try:
            program.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False


def killed(trial: Trial, kills: int, moments: Moments) -> list[Kill]:
    """Kill the training so many times and see it to its end; return what was found after each kill."""
    found: list[Kill] = []
    trainers: list[int] = []
    folder = trial.place / "killed.partial"
    program = trial.start("killed")
    while len(found) < kills:
        trainers, began = trial.trainers(program, trainers), time.monotonic()
        if not moments.wait(program, folder, (found[-1].step or 0) if found else 0):
            break
        try:
            os.kill(moments.generator.choice(trainers), signal.SIGKILL)
        except ProcessLookupError:  # it has failed by itself, and is started again
            continue
        found.append(found_after(folder, time.monotonic() - began))
        print(line(len(found), found[-1]), flush=True)
        if trial.processes == 1:
            program.wait()
            program = trial.start("killed")
    trial.ended_well(program, "killed")
    return found


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
    parser.add_argument("--steps", type=int, default=200)
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
    start_up, most = time.monotonic() - began - training, max(1, arguments.steps // arguments.kills)
    moments = Moments(start_up, training / arguments.steps, most, random.Random(arguments.seed))
    print(f"undisturbed: {start_up:.1f} s of start-up, {training:.1f} s for {arguments.steps} steps\n")
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    report(place, killed(trial, arguments.kills, moments))


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
