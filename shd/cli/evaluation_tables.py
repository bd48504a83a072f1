"""The tables that `shd evaluate` shows: a row a result, the ceiling first, the best of the others bold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from shd.errors import number_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.evaluation.assessment import Assessment
    from shd.evaluation.cross_validation import Prediction
    from shd.evaluation.split_half import Agreement
    from shd.evaluation.tractogram_scores import TractogramScores

__all__ = ["assessment_tables", "scan_tables", "tractogram_table"]

# Heading → how to read it off a result, how to write it, and whether more is better.
Column = tuple[str, Callable[[Any], float], str, bool]

_CEILING = "ceiling"


def assessment_tables(results: Sequence["Assessment"]) -> Iterator[Group]:
    """Give the tables of results: peaks over all voxels, by fibres, by crossing angle, and whole fODFs."""
    threshold = results[0].threshold
    everything = {result.name: (result, result.groups["all"]) for result in results}

    def scored(score: str) -> Callable[[Any], float]:
        return lambda of: float(getattr(of[1].sweep.at(threshold), score))

    voxels = results[0].groups["all"].sweep.scores[0].voxels
    yield _table(
        f"peaks from {threshold:g} of the highest, {number_of(voxels, 'voxel')}",
        everything,
        (
            ("error °", scored("angular_error"), ".1f", False),
            ("success", scored("success_rate"), ".3f", True),
            ("over", scored("over_estimated"), ".2f", False),
            ("under", scored("under_estimated"), ".2f", False),
            ("precis.", scored("precision"), ".3f", True),
            ("recall", scored("recall"), ".3f", True),
            ("F1", scored("f1"), ".3f", True),
            ("AUC", lambda of: of[1].sweep.area_under_curve, ".3f", True),
        ),
    )
    names = list(results[0].groups)
    for heading, groups in (
        ("by number of fibres", [name for name in names if "fibre" in name and name[0] != "0"]),
        ("two fibres, by crossing angle (°)", [name for name in names if name.endswith("°")]),
    ):
        if groups:
            columns = [column for group in groups for column in _group_columns(group, threshold)]
            yield _table(f"{heading}: error ° and success", {result.name: result for result in results}, columns)
    columns = [
        ("correlation", lambda of: of[1].angular_correlation, ".3f", True),
        ("Jensen-Shannon", lambda of: of[1].jensen_shannon, ".3f", False),
    ]
    columns += [(f"{tissue} error", _tissue(tissue), ".3f", False) for tissue in ("wm", "gm", "csf")]
    yield _table("whole fODFs beside the ceiling's, and tissue amounts", everything, columns)


def tractogram_table(tractograms: Mapping[str, "TractogramScores"]) -> Group:
    """Return the table of tractograms."""
    total = next(iter(tractograms.values())).bundles
    return _table(
        f"tractograms on {number_of(total, 'bundle')}",
        tractograms,
        (
            ("valid", lambda of: of.valid_connections, ".3f", True),
            ("invalid", lambda of: of.invalid_connections, ".3f", False),
            ("none", lambda of: of.no_connections, ".3f", False),
            ("VB", lambda of: of.valid_bundles, ".0f", True),
            ("IB", lambda of: of.invalid_bundles, ".0f", False),
            ("overlap", lambda of: of.overlap, ".3f", True),
            ("overreach", lambda of: of.overreach, ".3f", False),
            ("F1", lambda of: of.f1, ".3f", True),
        ),
    )


def scan_tables(predictions: Mapping[str, "Prediction"], agreements: Mapping[str, "Agreement"]) -> Iterator[Group]:
    """Give the tables of methods on a scan without truth."""
    if predictions:
        first = next(iter(predictions.values()))

        def shell(number: int) -> Callable[[Any], float]:
            return lambda of: float(of.shells[number].relative)

        columns: list[Column] = [
            (f"b={part.bvalue:.0f}", shell(number), ".3f", False) for number, part in enumerate(first.shells)
        ]
        columns += [
            ("all", lambda of: of.relative, ".3f", False),
            ("ratio to the first", lambda of: of.ratio(first), ".3f", False),
        ]
        yield _table("held-out directions: error over noise (1 is perfect)", predictions, columns)
    if agreements:
        voxels = next(iter(agreements.values())).voxels
        yield _table(
            f"split half: agreement of peaks, {voxels} anisotropic voxels",
            agreements,
            (
                ("main peak °", lambda of: of.main_angle, ".1f", False),
                ("mean °", lambda of: of.main_angle_mean, ".1f", False),
                ("equal counts", lambda of: of.equal_counts, ".3f", True),
                ("F1", lambda of: of.f1, ".3f", True),
            ),
        )


def _group_columns(group: str, threshold: float) -> tuple[Column, Column]:
    def scored(score: str) -> Callable[[Any], float]:
        return lambda of: float(getattr(of.groups[group].sweep.at(threshold), score))

    heading = group.removesuffix("°").removesuffix(" fibre").removesuffix(" fibres")
    return (heading, scored("angular_error"), ".1f", False), ("", scored("success_rate"), ".2f", True)


def _tissue(tissue: str) -> Callable[[Any], float]:
    return lambda of: of[0].tissue_errors.get(tissue, float("nan"))


def _table(title: str, rows: Mapping[str, Any], columns: Sequence[Column]) -> Group:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("", overflow="ellipsis")  # may wrap: where the terminal is narrow names are cut, numbers are not
    for heading, *_ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    rivals = {name: row for name, row in rows.items() if name != _CEILING}
    for name, row in rows.items():
        cells = [
            _cell(row, column, rivals.values() if name in rivals and len(rivals) > 1 else ()) for column in columns
        ]
        table.add_row(name, *cells, style="dim" if name not in rivals else None)
    return Group(Text(title, style="bold"), table)  # a table's own title is wrapped to its width


def _cell(row: Any, column: Column, rivals: Any) -> str:
    """Return a number as text, bold where no rival's reads better; a dash where there is none."""
    _, value, form, more = column
    number = value(row)
    if isnan(number):
        return "–"
    text = format(number, form)
    others = [float(format(value(rival), form)) for rival in rivals if not isnan(value(rival))]
    best = (max if more else min)(others, default=None)
    return f"[bold]{text}[/bold]" if best is not None and float(text) == best else text
