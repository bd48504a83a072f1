"""Results as rows of a markdown table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness.cases import Result

__all__ = [
    "ERROR", "FLOOR", "MEMORY", "RANGE", "RATE", "TIME", "Column", "against", "header", "parts", "row", "time_text",
]  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A heading and the text below it; text is None where a result has no such number."""

    heading: str
    text: Callable[[Result], str | None]


def time_text(seconds: float) -> str:
    """Return seconds with three digits and a unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


TIME = Column("time", lambda r: None if r.timing is None else time_text(r.timing.median))
RANGE = Column(
    "fastest – slowest (calls)",
    lambda r: None
    if r.timing is None
    else f"{time_text(r.timing.fastest)} – {time_text(r.timing.slowest)} ({r.timing.repeats})",
)
ERROR = Column("relative error", lambda r: None if r.error is None else f"{r.error:.1e}")
FLOOR = Column("÷ floor", lambda r: None if r.timing is None or not r.floor else f"{r.timing.median / r.floor:.1f}")
MEMORY = Column("peak memory", lambda r: None if r.memory is None else f"{r.memory / 2**20:.0f} MiB")
RATE = Column(
    "voxels/s", lambda r: None if r.timing is None or r.amount is None else f"{r.amount / r.timing.median:.3g}"
)


def against(heading: str, medians: dict[str, float], name: str | None = None) -> Column:
    """Return the column of a result's time over another: that of `name`, or that with the result's own name.

    medians: seconds by name; may be filled while rows are measured.
    """

    def text(result: Result) -> str | None:
        other = medians.get(name or result.name)
        return None if result.timing is None or other is None else f"{result.timing.median / other:.2f}"

    return Column(heading, text)


def parts(names: Sequence[str]) -> list[Column]:
    """Return one column of median times for each part of a call."""
    return [
        Column(name, lambda r, name=name: time_text(r.parts[name]) if name in r.parts else None) for name in names
    ]


def header(columns: Sequence[Column]) -> str:
    """Return the two lines above the rows."""
    headings = ["", *(column.heading for column in columns)]
    return f"| {' | '.join(headings)} |\n" + "|---" * len(headings) + "|"


def row(result: Result, columns: Sequence[Column]) -> str:
    """Return a result's line; a skipped one gives its reason in place of numbers."""
    if result.skipped is not None:
        return f"| {result.name} | skipped ({result.skipped}) |" + " |" * (len(columns) - 1)
    return f"| {' | '.join([result.name, *(column.text(result) or '–' for column in columns)])} |"
