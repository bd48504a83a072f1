"""`shd train` as a user runs it: what it writes, that a killed one goes on to the same end, and what it refuses."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import shd
from shd.errors import ShdWarning
from shd.io.checkpoints import read_model, read_state, write_model, write_state
from shd.io.responses import write_response
from shd.models.deconvolver import Deconvolver
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.training.population import TrainSettings
from tests.support.cohorts import store_cohort
from tests.support.stored import everything_in, run_program

STEPS = 6
TINY = (
    "--simulated", "3", "--side", "6", "--width", "2", "--levels", "2", "--device", "cpu", "--threads", "1",
)  # fmt: skip
FEW = {"validation": 2, "validations": 3}
FILES = {"model.safetensors", "log.csv", "loss.png", "run.json"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a configuration, and with examples that all trainings here share."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "few.json").write_text(json.dumps(FEW))
    return folder


@pytest.fixture(scope="module")
def options(place):
    torch.set_num_threads(1)
    return [*TINY, "--steps", str(STEPS), "--config", str(place / "few.json"), "--keep", str(place / "kept")]


def train(*arguments):
    from shd.cli.main import run

    with pytest.raises(SystemExit) as end:
        run(["train", *map(str, arguments)])
    return end.value.code


@pytest.fixture(scope="module")
def trained(place, options):
    assert train(*options, "--out", place / "out") == 0
    return place / "out"


def weights(folder):
    return read_model(folder / "model.safetensors").network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def rows_of(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_file_is_there_and_nothing_else(trained):
    assert {path.name for path in trained.iterdir()} == FILES
    assert not trained.with_name("out.partial").exists()


def test_the_log_has_a_row_a_validation(trained):
    rows = rows_of(trained)
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6]
    assert all(float(row["held_out"]) > 0 for row in rows)
    assert [bool(row["loss"]) for row in rows] == [False, True, True, True]
    assert float(rows[-1]["seconds"]) > float(rows[1]["seconds"]) > 0
    assert {"density", "root", "tissues", "learning_rate", "held_out_density"} <= set(rows[0])


def test_the_record_and_the_model_say_what_was_trained_on(trained):
    record = json.loads((trained / "run.json").read_text())
    stored = read_model(trained / "model.safetensors")
    assert record["steps"] == STEPS and record["settings"]["width"] == 2 and record["plan"]["simulated"] == 3
    assert stored.responses == () and stored.network.config.features == "fibre"
    assert {name: list(ends) for name, ends in stored.trained.ends.items()} == record["trained"]
    low, high = stored.trained.ends["b-values (s/mm²)"]
    assert 500 <= low <= high <= 5000
    losses = [float(row["held_out"]) for row in rows_of(trained)]
    assert record["held_out_loss"]["best"] == pytest.approx(min(losses))


@pytest.mark.parametrize("protocol", [((1000.0, 12),), ((700.0, 6), (3000.0, 20))])
def test_the_network_takes_any_protocol(trained, protocol):
    phantom = crossing_phantom(60.0, shape=(4, 4, 4), protocol=Protocol("any", 3, protocol))
    with pytest.warns(ShdWarning):  # three scans are no wide range
        found = shd.infer(phantom.scan, trained / "model.safetensors", phantom.responses[:: 3 - len(protocol)])
    assert np.isfinite(found.fod.wm).all() and len(found.fod.wm[found.fod.mask]) == 64


def test_the_same_command_gives_the_same_network(capsys, trained, options, tmp_path):
    assert run_program(capsys, "train", *options, "--out", tmp_path / "again").code == 0
    assert same(weights(trained), weights(tmp_path / "again"))


def test_workers_change_nothing_but_the_time(capsys, trained, options, tmp_path):
    assert run_program(capsys, "train", *options, "--workers", "1", "--out", tmp_path / "again").code == 0
    assert same(weights(trained), weights(tmp_path / "again"))


def test_a_killed_training_goes_on_to_the_same_network(capsys, trained, options, tmp_path):
    """`kill -9` at a random moment after the first checkpoint, in another process, as a crash would be."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "shd", "train", *options, "--checkpoint-seconds", "0", "--out", str(out)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = tmp_path / "out.partial" / "checkpoint.safetensors"
    deadline = time.monotonic() + 300
    while not checkpoint.with_suffix(".json").exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.3))
    running.send_signal(signal.SIGKILL)
    running.wait()
    if not (out / "run.json").exists():  # else it was quicker than the kill
        _, numbers = read_state(checkpoint)
        assert 0 < numbers["steps_done"] <= STEPS and numbers["next_example"] == 2 * numbers["steps_done"]
        assert json.loads(checkpoint.with_suffix(".json").read_text())["steps_done"] >= 1
        ran = run_program(capsys, "train", *options, "--out", out)
        assert ran.code == 0, ran.err
        assert f"going on with the interrupted training in {out}.partial" in ran.out
    assert same(weights(trained), weights(out))
    assert {path.name for path in out.iterdir()} == FILES
    ours, theirs = rows_of(out), rows_of(trained)
    assert [r["held_out"] for r in ours] == [r["held_out"] for r in theirs]
    assert [r["loss"] for r in ours] == [r["loss"] for r in theirs]


@pytest.fixture
def interrupted(options, tmp_path, monkeypatch):
    """A folder whose training stopped after its first checkpoint."""
    from shd.fitting import train as module

    def save_and_stop(course, checkpoint):
        write_state(checkpoint, *course.state())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "save", save_and_stop)
        assert train(*options, "--checkpoint-seconds", "0", "--out", tmp_path / "out") == 130
    return tmp_path / "out"


def checkpoint_of(out):
    return out.with_name("out.partial") / "checkpoint.safetensors"


CHANGES = [("--seed", "1"), ("--width", "3"), ("--steps", "7"), ("--simulated", "2"), ("--batch", "1")]


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_another_configuration_is_refused(capsys, interrupted, options, change):
    before = everything_in(interrupted.parent)
    ran = run_program(capsys, "train", *options, *change, "--out", interrupted)
    assert ran.code == 2 and everything_in(interrupted.parent) == before
    assert "had other data or settings than this one" in ran.err and "give --force to start anew" in ran.err


def test_a_checkpoint_of_another_version_is_refused(capsys, interrupted, options):
    tensors, numbers = read_state(checkpoint_of(interrupted))
    write_state(checkpoint_of(interrupted), tensors, numbers | {"version": "0.0.1"})
    ran = run_program(capsys, "train", *options, "--out", interrupted)
    assert ran.code == 2 and "saved by shd 0.0.1, this is" in ran.err and "--force" in ran.err


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("damage", ["truncated", "empty", "pickle"])
def test_a_damaged_checkpoint_is_refused_and_never_run(capsys, interrupted, options, damage, monkeypatch):
    monkeypatch.chdir(interrupted.parent)
    path = checkpoint_of(interrupted)
    if damage == "pickle":
        torch.save(Trap(), path)
    else:
        path.write_bytes(path.read_bytes()[: 5000 if damage == "truncated" else 0])
    ran = run_program(capsys, "train", *options, "--out", interrupted)
    assert ran.code == 2 and not (interrupted.parent / "trapped").exists()
    assert "cannot be read" in ran.err and "or --force to start anew" in ran.err
    assert len([line for line in ran.err.splitlines() if line.startswith("error: ")]) == 1


def test_a_state_is_no_network_to_start_from(capsys, interrupted, options, tmp_path):
    start = tmp_path / "start.safetensors"
    shutil.copy(checkpoint_of(interrupted), start)
    ran = run_program(capsys, "train", *options, "--start", start, "--out", tmp_path / "other")
    assert ran.code == 2 and "holds training state, not a model" in ran.err


def test_training_goes_on_from_a_network(capsys, trained, options, tmp_path):
    """The validation of the first row is that of the network given."""
    model = trained / "model.safetensors"
    ran = run_program(capsys, "train", *options, "--start", model, "--out", tmp_path / "more")
    assert ran.code == 0, ran.err
    best = json.loads((trained / "run.json").read_text())["held_out_loss"]["best"]
    assert float(rows_of(tmp_path / "more")[0]["held_out"]) == pytest.approx(best, rel=1e-5)
    ran = run_program(capsys, "train", *options, "--width", "3", "--start", model, "--out", tmp_path / "wider")
    assert ran.code == 2 and "another network (width 2 instead of 3); give these settings" in ran.err


def test_patience_ends_it_early(capsys, options, tmp_path):
    """With steps of no length nothing improves."""
    still = ("--learning-rate", "0", "--patience", "1")
    assert run_program(capsys, "train", *options, *still, "--out", tmp_path / "out").code == 0
    assert [int(row["step"]) for row in rows_of(tmp_path / "out")] == [0, 2]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    table = store_cohort(folder, ("a", "b", "c"))
    phantom = crossing_phantom(60.0, shape=(2, 2, 2), protocol=Protocol("small", 2, ((1000.0, 15), (3000.0, 15))))
    for response in phantom.responses:
        write_response(folder / f"response_{response.tissue}.txt", response)
    return table


def test_measured_scans_with_simulated_ones(capsys, cohort, options, tmp_path):
    group = ("--group-response", cohort.parent, "--boxes", "2")
    ran = run_program(capsys, "train", *options, "--subjects", cohort, *group, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    subjects = record["subjects"]
    assert len(subjects["learned"]) == 2 and len(subjects["held_out"]) == 1
    assert sorted(subjects["learned"] + subjects["held_out"]) == ["a", "b", "c"]
    last = rows_of(tmp_path / "out")[-1]
    assert all(float(last[name]) > 0 for name in ("held_out_data", "held_out_density", "data", "support"))


def test_measured_scans_alone(capsys, cohort, options, tmp_path):
    alone = ("--group-response", cohort.parent, "--simulated", "0", "--held-out", "0")
    ran = run_program(capsys, "train", *options, "--subjects", cohort, *alone, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "density" not in rows_of(tmp_path / "out")[-1]
    assert "loss on other boxes of the subjects learned from: " in ran.out and "held-out" not in ran.out
    assert "on_learned" in rows_of(tmp_path / "out")[-1] and "held_out" not in rows_of(tmp_path / "out")[-1]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["on_learned_loss"]["best"] > 0


def refusal(capsys, out, *arguments):
    """Run what must fail on bad input and write nothing; return its one line."""
    ran = run_program(capsys, "train", *arguments, "--out", out)
    assert ran.code == 2 and not out.exists() and not out.with_name("out.partial").exists(), ran.err
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in ran.err
    return errors[0]


def test_subjects_of_other_tissues(capsys, cohort, options, tmp_path):
    (tmp_path / "wm.json").write_text(json.dumps({**FEW, "tissues": ["wm"]}))
    group = ("--group-response", cohort.parent, "--config", tmp_path / "wm.json", "--simulated", "0")
    message = refusal(capsys, tmp_path / "out", *options, "--subjects", cohort, *group)
    assert "a: 3 tissues (wm, gm, csf), but the network has 1 (wm)" in message and "--group-response" in message


def test_responses_of_other_shells_name_the_subject(capsys, cohort, options, tmp_path):
    (tmp_path / "response_wm.txt").write_text("3000 0\n1500 -400\n")
    message = refusal(capsys, tmp_path / "out", *options, "--subjects", cohort, "--group-response", tmp_path)
    assert message.startswith("error: a: ") and "2 rows" in message and "the scan has 3" in message


def test_subjects_that_are_none(capsys, options, tmp_path):
    (tmp_path / "none.tsv").write_text("name\tdwi\n")
    assert "0 subjects" in refusal(capsys, tmp_path / "out", *options, "--subjects", tmp_path / "none.tsv")


def test_group_response_without_white_matter(capsys, cohort, options, tmp_path):
    message = refusal(capsys, tmp_path / "out", *options, "--subjects", cohort, "--group-response", tmp_path)
    assert "none of white matter; it needs response_wm.txt" in message


def test_all_subjects_held_out(capsys, cohort, options, tmp_path):
    message = refusal(capsys, tmp_path / "out", *options, "--subjects", cohort, "--held-out", "3")
    assert "3 of 3 subjects held out" in message


@pytest.mark.parametrize(
    ("given", "says"),
    [(("--simulated", "0"), "0 subjects and 0 simulated scans; give --subjects"),
     (("--minutes", "1"), "1.0 minutes and 6 steps; give one of them"),
     (("--side", "7"), "side 7 and tile None: give multiples of 2"),
     (("--levels", "9"), "9 levels: nside 8 allows 1 to 4"),
     (("--held-out", "1.5"), "a whole number of subjects, or a share below 1")],
)  # fmt: skip
def test_choices_that_cannot_be(capsys, options, tmp_path, given, says):
    assert says in refusal(capsys, tmp_path / "out", *options, *given)


@pytest.mark.parametrize(
    ("content", "says"),
    [('{"widht": 4}', "1 unknown settings (widht); known are steps"), ("[1]", "holds a list"),
     ("{", "no configuration can be read"), ('{"width": "wide"}', "setting width: 'wide' is no int"),
     ('{"width": true}', "setting width: True is no int"), ('{"truth": [1, 2]}', "setting truth"),
     ('{"weights": {"suport": 1}}', "setting weights: unknown suport"), ('{"batch": 0}', "give at least 1 of each"),
     ('{"side": 2}', "side is 4 or more")],
)  # fmt: skip
def test_configurations_that_cannot_be(capsys, tmp_path, content, says):
    (tmp_path / "bad.json").write_text(content)
    assert says in refusal(capsys, tmp_path / "out", "--config", tmp_path / "bad.json")


def test_a_network_of_one_protocol_is_no_start(capsys, options, tmp_path):
    config = replace(TrainSettings(width=2, levels=2).config, features="shells")
    write_model(tmp_path / "fit.safetensors", Deconvolver(config), ())
    message = refusal(capsys, tmp_path / "out", *options, "--start", tmp_path / "fit.safetensors")
    assert "another network (features shells instead of fibre)" in message
