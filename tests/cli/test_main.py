"""What a user sees of errors and warnings; a program with commands that fail stands in for shd's."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import typer

from shd import __version__
from shd.cli import main
from shd.errors import ScanError, ShdWarning
from tests.support.stored import run_program

FAILURES = {
    "scan": ScanError("96 volumes but 95 b-values (dwi.bval); is the b0 [listed]? " + "a long path " * 30),
    "memory": MemoryError(),
    "torch-gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "torch-cpu": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    "bug": RuntimeError("a bug"),
    "interrupt": KeyboardInterrupt(),
}


@pytest.fixture
def outcome(monkeypatch, capsys):
    """Run a failing command; return exit code, stdout and stderr."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail(name: str) -> None:
        raise FAILURES[name]

    @app.command()
    def warn() -> None:
        for _ in range(2):
            warnings.warn("the b-vectors look flipped in x [check]", ShdWarning, stacklevel=1)
        warnings.warn("of another library", FutureWarning, stacklevel=1)

    @app.command()
    def allocate() -> None:
        np.empty(2**52)  # more than 64-bit processors can address

    monkeypatch.setattr(main, "app", app)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main.run(arguments)
        return end.value.code, *capsys.readouterr()

    return run


def test_a_users_error_is_one_line_without_traceback(outcome):
    code, out, err = outcome("fail", "scan")
    assert (code, out) == (2, "")
    assert err == f"error: {FAILURES['scan']}\n"


@pytest.mark.parametrize("arguments", [("fail", "memory"), ("fail", "torch-gpu"), ("fail", "torch-cpu"), ("allocate",)])
def test_lack_of_memory_suggests_a_smaller_tile(outcome, arguments):
    code, out, err = outcome(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: .*smaller tile.*\n", err)


def test_a_bug_keeps_its_traceback(outcome):
    with pytest.raises(RuntimeError, match="a bug"):
        outcome("fail", "bug")


def test_an_interrupt_exits_with_130(outcome):
    assert outcome("fail", "interrupt")[0] == 130


def test_a_wrong_option_exits_with_2(outcome):
    assert outcome("fail", "scan", "--nonsense")[0] == 2


def test_our_warnings_are_one_line_each_and_others_stay_as_they_are(outcome):
    shown, filters = warnings.showwarning, list(warnings.filters)
    with pytest.warns(FutureWarning, match="of another library"):
        code, out, err = outcome("warn")
    assert (code, out) == (0, "")
    assert err.count("warning: the b-vectors look flipped in x [check]\n") == 2
    assert (warnings.showwarning, list(warnings.filters)) == (shown, filters)


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main.run(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"shd {__version__}\n"


def test_help_does_not_wait_for_the_numerical_libraries():
    """What makes `shd --help` quick is what it does not import."""
    script = (
        "import sys; from shd.cli.main import run\n"
        "try: run(['--help'])\n"
        "finally: print('slow:', {'torch', 'numpy', 'scipy', 'dipy', 'numba', 'matplotlib'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "slow: set()" in ran.stdout


@pytest.mark.parametrize("command", [info.callback.__name__ for info in main.app.registered_commands])
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main.run([command, "--help"])
    assert end.value.code == 0
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fit", "--nonsense"), "No such option: --nonsense"),
        (("nonsense",), "No such command 'nonsense'; see shd --help"),
        (("infer",), "Missing argument 'dwi'; see shd infer --help"),
        (("fit", "dwi.nii", "--out", "o", "--threads", "0"), "--threads"),
        (("segment", "nonsense"), "No such command 'nonsense'; see shd segment --help"),
        (("export", "o", "--to", "bids", "--dest", "d"), "error: --to bids needs the participant's label"),
        (("export", "o", "--to", "bids", "--subject", "1"), "error: --to bids writes into a dataset; give its folder"),
    ],
)
def test_words_that_cannot_be_are_one_line(capsys, words, says):
    ran = run_program(capsys, *words)
    assert ran.code == 2 and ran.out == ""
    assert says in ran.err and ran.err.startswith("error: ") and ran.err.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("segment",)])
def test_a_group_alone_shows_its_commands(capsys, words):
    ran = run_program(capsys, *words)
    assert ran.code == 2 and "Usage" in ran.out + ran.err and "error:" not in ran.err
