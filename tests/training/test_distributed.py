"""Two processes that train together do what one does: the same losses and the same weights."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from benchmarks.harness.processes import children
from shd.errors import SettingsError
from shd.io.checkpoints import read_model
from shd.training.distributed import Processes, joined_processes, meeting

OPTIONS = (
    "--simulated", "4", "--side", "6", "--width", "2", "--levels", "2", "--device", "cpu", "--threads", "1",
    "--batch", "4", "--steps", "4",
)  # fmt: skip


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(place, out, processes, *more, restarts=0):
    """Return `shd train` in so many processes, as a user starts it."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes else []
    launcher += [f"--max-restarts={restarts}"] if restarts else []
    arguments = ["-m", "shd", "train", *OPTIONS, "--config", place / "few.json", "--keep", place / "kept", *more]
    return [str(word) for word in (sys.executable, *launcher, *arguments, "--out", place / out)]


def started(*choices):
    """Run the command to its end."""
    return subprocess.run(command(*choices), capture_output=True, text=True, timeout=900, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the results of one process and of two; signal: examples of one tissue and of three, with truth."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "few.json").write_text(json.dumps({"validation": 2, "validations": 2, "signal": 0.1}))
    for out, processes in (("one", 0), ("two", 2)):
        ran = started(folder, out, processes)
        assert ran.returncode == 0, ran.stderr
    return folder


def log_of(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(place):
    one, two = log_of(place / "one"), log_of(place / "two")
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
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="without /proc torchrun's processes cannot be found")
def test_a_killed_process_is_started_again_from_the_last_checkpoint(place):
    """`kill -9` of either process as soon as there is a checkpoint: torchrun starts both again."""
    words = command(place, "killed", 2, "--checkpoint-seconds", "0", restarts=1)
    log = place / "killed.log"
    with log.open("w") as file:
        running = subprocess.Popen(words, stdout=file, stderr=file, env=ENVIRONMENT)
    deadline = time.monotonic() + 600
    while not (place / "killed.partial" / "checkpoint.json").exists() and time.monotonic() < deadline:
        assert running.poll() is None, log.read_text()
        time.sleep(0.005)
    os.kill(random.choice(children(running.pid)), signal.SIGKILL)
    assert running.wait(600) == 0, log.read_text()
    assert log.read_text().count("going on with the interrupted training") == 1
    killed, wanted = (read_model(place / name / "model.safetensors").network.state_dict() for name in ("killed", "two"))
    assert all(torch.equal(killed[name], value) for name, value in wanted.items())
    assert [row["held_out"] for row in log_of(place / "killed")] == [row["held_out"] for row in log_of(place / "two")]


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(place):
    ran = started(place, "three", 2, "--batch", "3")
    assert ran.returncode != 0 and not (place / "three").exists()
    assert "a batch of 3 examples cannot be shared evenly by 2 processes; give --batch 4" in ran.stderr


def test_port_0_is_refused_where_processes_would_wait_for_hours(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_PORT", "0")
    with pytest.raises(SettingsError, match="port 0 for 2 processes to meet at"), joined_processes("cpu"):
        pass


def test_processes_started_again_meet_though_the_store_remembers_those_that_died():
    """The second is there first, and finds the name that a first process gave which then died unanswered."""
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    clients = [dist.TCPStore("127.0.0.1", server.port, is_master=False) for _ in range(2)]
    server.set("shd", "old")
    server.set("old/arrived 1", "another")
    with ThreadPoolExecutor(2) as pool:
        second = pool.submit(meeting, clients[1], 1, 2)
        time.sleep(0.2)
        first = pool.submit(meeting, clients[0], 0, 2)
        first.result(60).set("address", "new")
        assert second.result(60).get("address") == b"new"


def test_alone_a_process_is_told_what_it_says():
    alone, vector = Processes(), torch.ones(2)
    assert alone.first and alone.total(vector) is vector and alone.largest(vector) is vector
    assert alone.from_first("word") == "word" and alone.sharing(network := torch.nn.Linear(1, 1)) is network
