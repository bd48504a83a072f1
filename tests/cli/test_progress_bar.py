"""Progress on terminals of any width, and in files."""

import io
import re
from itertools import count

import pytest
from rich.console import Console

from shd.cli import progress_bar
from shd.cli.progress_bar import shown_progress
from shd.fitting.progress import Progress, counted

LOSSES = {"loss": 1.5712345, "data": 1.0, "sparsity": 1.2, "negativity": 0.000602, "variation": 0.39}


def work(report):
    report(Progress("gradient check", 0.0))
    for step in range(1, 5):
        report(Progress("training", step / 4, LOSSES))
    advance = counted("inference", 10, report)
    advance(4)
    advance(6)


def drawn(monkeypatch, width):
    """What a terminal of this width shows in the end: each line of the last frame."""
    screen = io.StringIO()
    monkeypatch.setattr(
        progress_bar, "Console",
        lambda stderr: Console(file=screen, force_terminal=True, width=width, color_system=None, legacy_windows=False),
    )  # fmt: skip
    with shown_progress() as report:
        work(report)
    text = screen.getvalue()
    last = text[text.rfind("gradient check") :]
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in last.splitlines() if line.strip("\r \x1b[?25h")]


@pytest.mark.parametrize("width", [44, 60, 80, 120])
def test_a_bar_a_stage_whatever_the_width(monkeypatch, width):
    lines = drawn(monkeypatch, width)
    assert [line.split("━")[0].strip() for line in lines] == ["gradient check", "training", "inference"]
    assert all(len(line.rstrip()) <= width and line.count("0:00:0") == 2 for line in lines)


def test_numbers_are_shown_whole_or_not_at_all(monkeypatch):
    assert "loss 1.57  data 1  sparsity 1.2  negativity 0.000602" in drawn(monkeypatch, 130)[1]
    assert drawn(monkeypatch, 60)[1].rstrip().endswith("loss 1.57  data 1")
    assert "loss" not in drawn(monkeypatch, 44)[1]


def test_in_a_file_a_line_a_stage(capsys):
    with shown_progress() as report:
        work(report)
    assert capsys.readouterr().err.splitlines() == ["gradient check", "training", "inference"]


def test_in_a_file_a_long_stage_tells_how_far_it_is(capsys, monkeypatch):
    seconds = count(step=20)
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: float(next(seconds)))
    with shown_progress() as report:
        work(report)
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == ["gradient check", "training"]
    assert told[2].startswith("training 75 %, 20 s left  loss 1.57  data 1  sparsity 1.2")
    assert told[3:] == ["inference", "inference 100 %"]


def test_counted_reaches_the_end():
    heard = []
    advance = counted("inference", 8, heard.append)
    for voxels in (3, 0, 5):
        advance(voxels)
    assert [(state.stage, state.done) for state in heard] == [("inference", part) for part in (0.0, 0.375, 0.375, 1.0)]
