"""A fit that is killed and started again ends as if nothing had happened."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shd.errors import OutputError
from shd.fitting import outputs
from shd.io.checkpoints import read_state
from shd.io.responses import write_response
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from tests.support.stored import QUICK, everything_in, run_program, store, words

STEPS, KILLED_AT = 14, 5
# Saves after every step, and dies as `kill -9` would make it once the fifth is saved.
DYING = f"""
import os, signal, sys
from shd.cli.main import run
from shd.fitting import fit
write = fit.write_state
def write_and_die(path, tensors, numbers):
    write(path, tensors, numbers)
    if numbers["steps_done"] == {KILLED_AT}:
        os.kill(os.getpid(), signal.SIGKILL)
fit.CHECKPOINT_SECONDS, fit.write_state = 0.0, write_and_die
run(sys.argv[1:])
"""
RESULTS = ("wm_fod.nii.gz", "gm.nii.gz", "csf.nii.gz", "peaks.nii.gz", "model.safetensors")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with a scan and the remains of a fit killed in its training; and the arguments of that fit."""
    place = tmp_path_factory.mktemp("killed")
    protocol = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))
    phantom = crossing_phantom(60.0, shape=(6, 6, 4), protocol=protocol)
    responses = []
    for response in phantom.responses:
        write_response(place / f"{response.tissue}.txt", response)
        responses += [f"--{response.tissue}", str(place / f"{response.tissue}.txt")]
    files = store(phantom.scan, place / "scan")
    arguments = ["fit", *words(files), *responses, *QUICK, "--degree", "8", "--steps", str(STEPS)]
    command = [sys.executable, "-c", DYING, *arguments, "--out", str(place / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return place, arguments


@pytest.fixture(scope="module")
def uninterrupted(killed):
    place, arguments = killed
    from shd.cli.main import run

    with pytest.raises(SystemExit) as end:
        run([*arguments, "--out", str(place / "whole")])
    assert end.value.code == 0
    return everything_in(place / "whole")


@pytest.fixture
def remains(killed, tmp_path):
    """A copy of what the kill left: output folder, and the arguments to go on with."""
    place, arguments = killed
    shutil.copytree(place / "out.partial", tmp_path / "out.partial")
    return tmp_path / "out", arguments


def test_a_killed_fit_leaves_a_checkpoint_and_no_output(killed):
    place, _ = killed
    assert not (place / "out").exists()
    assert [path.name for path in (place / "out.partial").iterdir()] == ["checkpoint.safetensors"]
    _, numbers = read_state(place / "out.partial" / "checkpoint.safetensors")
    assert numbers["steps_done"] == KILLED_AT


def test_it_goes_on_to_the_same_result_bit_for_bit(capsys, remains, uninterrupted):
    out, arguments = remains
    (out.with_name("out.partial") / ".partial-1234-peaks.nii.gz").write_bytes(b"half a file of the killed run")
    ran = run_program(capsys, *arguments, "--out", out)
    assert ran.code == 0, ran.err
    assert f"going on with the interrupted fit in {out}.partial" in ran.out
    found = everything_in(out)
    assert set(found) == set(uninterrupted)
    assert [name for name in RESULTS if found[name] != uninterrupted[name]] == []
    assert not out.with_name("out.partial").exists()


@pytest.mark.parametrize("change", [("--seed", "1"), ("--width", "3"), ("--steps", "20")])
def test_a_checkpoint_of_other_settings_is_refused(capsys, remains, change):
    out, arguments = remains
    before = everything_in(out.parent)
    ran = run_program(capsys, *arguments, *change, "--out", out)
    assert ran.code == 2
    assert "had other data or settings than this one" in ran.err
    assert "give --force to start anew, or another --out" in ran.err
    assert everything_in(out.parent) == before
    assert "goes on from" not in ran.err


def test_a_checkpoint_of_other_data_is_refused(capsys, remains, tmp_path):
    out, arguments = remains
    protocol = Protocol("small", 2, ((1000.0, 15), (3000.0, 15)))
    store(crossing_phantom(60.0, shape=(6, 6, 4), protocol=protocol, seed=1).scan, tmp_path / "scan")
    arguments = [word.replace(str(Path(arguments[1]).parent), str(tmp_path / "scan")) for word in arguments]
    ran = run_program(capsys, *arguments, "--out", out)
    assert ran.code == 2 and "had other data or settings than this one" in ran.err


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_says_what_to_do(capsys, remains, content):
    out, arguments = remains
    (out.with_name("out.partial") / "checkpoint.safetensors").write_bytes(content)
    ran = run_program(capsys, *arguments, "--out", out)
    assert ran.code == 2
    way_out = r"give the checkpoint\.safetensors of an interrupted training, or --force"
    assert re.search(rf"error: .*checkpoint\.safetensors: .*; {way_out}", ran.err)


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (OutputError("disk full"), 2)])
def test_what_was_trained_is_not_lost(capsys, remains, monkeypatch, stop, code):
    """Control-C, or a full disk while writing: the checkpoint stays, is said to, and takes the fit to its end."""
    out, arguments = remains

    def fail(*inputs, **options):
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(outputs, "write_model", fail)
        ran = run_program(capsys, *arguments, "--out", out)
    assert ran.code == code and not out.exists()
    assert [path.name for path in out.with_name("out.partial").iterdir()] == ["checkpoint.safetensors"]
    assert f"note: the same command goes on from {out}.partial/checkpoint.safetensors; --force starts anew" in ran.err


def test_force_starts_anew_to_the_same_result(capsys, remains, uninterrupted):
    """Same seed, same result; and nothing of the checkpoint is used."""
    out, arguments = remains
    (out.with_name("out.partial") / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    ran = run_program(capsys, *arguments, "--out", out, "--force")
    assert ran.code == 0, ran.err
    assert "interrupted" not in ran.out
    found = everything_in(out)
    assert [name for name in RESULTS if found[name] != uninterrupted[name]] == []
