"""Progress on the terminal: one bar a stage, with the numbers worth watching."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from shd.fitting.progress import Progress as State
from shd.fitting.progress import Report

__all__ = ["shown_progress"]


@contextmanager
def shown_progress() -> Iterator[Report]:
    """Give a report function that draws on stderr while the block runs."""
    columns = (
        TextColumn("{task.description:>15}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        tasks: dict[str, TaskID] = {}

        def report(state: State) -> None:
            if state.stage not in tasks:
                for earlier in tasks.values():
                    bars.update(earlier, completed=1.0)
                tasks[state.stage] = bars.add_task(state.stage, total=1.0, values="")
            values = "  ".join(f"{name} {value:.3g}" for name, value in state.values.items())
            bars.update(tasks[state.stage], completed=state.done, values=values)

        yield report
        for task in tasks.values():
            bars.update(task, completed=1.0)
