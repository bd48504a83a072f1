"""Progress on stderr: one bar a stage on a terminal, now and then a line in a file or a pipe."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from shd.fitting.progress import Progress as State
from shd.fitting.progress import Report

__all__ = ["shown_progress"]

_SECONDS_BETWEEN_LINES = 30.0
_OTHER_COLUMNS = 14 + 7 + 7 + 4  # name, two times, and a blank between columns


@contextmanager
def shown_progress() -> Iterator[Report]:
    """Give a report function that shows progress on stderr while the block runs."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as report:
            yield report
    else:
        yield _lines(console)


@contextmanager
def _bars(console: Console) -> Iterator[Report]:
    """Draw a bar a stage; it pulses until the stage says how far it is."""
    bar = 24 if console.width >= 100 else 8
    room = console.width - bar - _OTHER_COLUMNS
    columns = (
        TextColumn("{task.description}", table_column=Column(width=14, no_wrap=True, justify="right")),
        BarColumn(bar_width=bar),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}", table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
        tasks: dict[str, TaskID] = {}

        def finish() -> None:
            for task in tasks.values():
                bars.update(task, total=1.0, completed=1.0)
                bars.stop_task(task)

        def report(state: State) -> None:
            if state.stage not in tasks:
                finish()
                tasks[state.stage] = bars.add_task(state.stage, total=None, values="")
            total = 1.0 if state.done > 0 else None
            bars.update(tasks[state.stage], total=total, completed=state.done, values=_values(state, room))

        yield report
        finish()


def _lines(console: Console) -> Report:
    """Write a line where a stage begins, and while it lasts one every half minute, with the time left."""
    stage, begin, first, last = "", 0.0, 0.0, 0.0

    def report(state: State) -> None:
        nonlocal stage, begin, first, last
        now = time.monotonic()
        line = state.stage
        if line != stage:
            stage, begin, first = line, now, state.done
        elif now - last < _SECONDS_BETWEEN_LINES:
            return
        else:
            left = (now - begin) * (1 - state.done) / (state.done - first) if state.done > first else 0.0
            line += f" {100 * state.done:.0f} %{_left(left)}  {_values(state)}"
        last = now
        console.print(line.rstrip(), soft_wrap=True, markup=False, highlight=False)

    return report


def _left(seconds: float) -> str:
    """Return a time in words, nothing of less than a second."""
    if seconds < 1:
        return ""
    return f", {seconds:.0f} s left" if seconds < 100 else f", {seconds / 60:.0f} min left"


def _values(state: State, room: int = 100) -> str:
    """Return as many of the numbers as `room` characters hold: a terminal would give up the bar for them."""
    text = ""
    for name, value in state.values.items():
        longer = f"{text}  {name} {value:.3g}".strip()
        if len(longer) > room:
            break
        text = longer
    return text
