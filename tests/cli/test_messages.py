"""Messages wrap between words on a terminal, and are one line each elsewhere."""

import io

import pytest
from rich.console import Console

from shd.cli import messages

LONG = "the mask is 6 × 6 × 3 (mask.nii.gz) but the scan 6 × 6 × 4 (dwi.nii.gz); resample the mask to the scan's grid"


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    narrow = Console(file=screen, force_terminal=True, width=40, color_system=None)
    monkeypatch.setattr(messages, "Console", lambda stderr=False: narrow)
    return screen


def test_on_a_terminal_words_stay_whole(terminal):
    messages.complain("error", "red", LONG)
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 4 and all(len(line) <= 40 for line in lines)
    assert " ".join(line.strip() for line in lines) == f"error: {LONG}"


def test_a_command_to_copy_is_never_broken(terminal):
    messages.tell_command("tckgen " + "out/" * 20)
    assert terminal.getvalue() == "  tckgen " + "out/" * 20 + "\n"


def test_in_a_file_each_is_one_line(capsys):
    messages.tell(LONG)
    messages.complain("warning", "yellow", LONG + " [check]")
    captured = capsys.readouterr()
    assert captured.out == LONG + "\n" and captured.err == f"warning: {LONG} [check]\n"
