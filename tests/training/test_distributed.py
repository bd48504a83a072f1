"""Two processes that train together do what one does: the same losses and the same weights."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch

from shd.io.checkpoints import read_model
from shd.training.distributed import Processes

OPTIONS = (
    "--simulated", "4", "--side", "6", "--width", "2", "--levels", "2", "--device", "cpu", "--threads", "1",
    "--batch", "4", "--steps", "4",
)  # fmt: skip


def started(place, out, processes, *more):
    """Run `shd train` in so many processes, as a user starts it."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes else []
    arguments = ["-m", "shd", "train", *OPTIONS, "--config", place / "few.json", "--keep", place / "kept", *more]
    command = [sys.executable, *launcher, *arguments, "--out", place / out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=900, env=environment)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the results of one process and of two; signal: examples of one tissue and of three, with truth."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "few.json").write_text(json.dumps({"validation": 2, "validations": 2, "signal": 0.1}))
    for out, processes in (("one", 0), ("two", 2)):
        ran = started(folder, out, processes)
        assert ran.returncode == 0, ran.stderr
    return folder


def log(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(place):
    one, two = log(place / "one"), log(place / "two")
    assert len(one) == len(two) == 3
    for ours, theirs in zip(two, one, strict=True):
        assert set(ours) == set(theirs)
        for name in set(ours) - {"seconds"}:
            assert (ours[name] == "") == (theirs[name] == "")
            if ours[name]:
                assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-5, abs=1e-7), name


@pytest.mark.slow
def test_two_processes_have_the_weights_of_one(place):
    one, two = (read_model(place / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert one.trained.ends.keys() == two.trained.ends.keys()
    for name, ends in one.trained.ends.items():
        assert two.trained.ends[name] == pytest.approx(ends)


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(place):
    ran = started(place, "three", 2, "--batch", "3")
    assert ran.returncode != 0 and not (place / "three").exists()
    assert "a batch of 3 examples cannot be shared evenly by 2 processes; give --batch 4" in ran.stderr


def test_alone_a_process_is_told_what_it_says():
    alone, vector = Processes(), torch.ones(2)
    assert alone.first and alone.total(vector) is vector and alone.largest(vector) is vector
    assert alone.from_first("word") == "word" and alone.sharing(network := torch.nn.Linear(1, 1)) is network
