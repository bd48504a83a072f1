"""A page of results: one file with pictures and numbers of every folder, and a table of several."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from shd.errors import OutputError, ScanError
from shd.fitting.maps import MAPS, PEAK_THRESHOLD, make_maps, peaks_of, wanted_maps
from shd.fitting.progress import Progress, Report, silent
from shd.io.atomic import check_absent, whole_file
from shd.io.fit_companions import read_fit_companions
from shd.io.fit_folder import read_fit_folder
from shd.report.concerns import concerns
from shd.report.group_section import group_section, outlying
from shd.report.map_figure import map_figure
from shd.report.page import PAGE_END, page_start
from shd.report.plane_drawing import mixed_tissues
from shd.report.result_figures import (
    Shown,
    charts_figure,
    directions_figure,
    main_directions,
    planes_figure,
    result_planes,
    tissue_shares,
)
from shd.report.result_numbers import NEEDED_MAPS, result_numbers
from shd.report.result_section import Described, result_section

__all__ = ["Reported", "describe_result", "write_report"]

_DRAWN_MAPS = ("nufo", "afd_total", "peak_amplitudes", "tissue_sum", "fraction_wm", "fraction_gm", "fraction_csf")


@dataclass(frozen=True)
class Reported:
    """What a page says. results: in its order. far: column → name → modified z-score of what is far from the others."""

    path: Path
    results: tuple[Described, ...]
    far: dict[str, dict[str, float]]


def write_report(
    folders: Sequence[Path | str], out: Path | str, *, force: bool = False, report: Report = silent
) -> Reported:
    """Write one HTML file about the results in `folders`, which needs no other file; return what it says.

    folders: of `shd fit`, `infer` or `normalise`. They are read one after another: memory is that of the largest. The
    file appears whole or not at all. force: replace it. report: told the results that are done.

    Raises ScanError, before any is read, where a folder is no result or given twice, and where a file in one is
    damaged (EvaluationError where images lie on several grids); OutputError where `out` exists or cannot be written.
    """
    out = Path(out)
    if out.is_dir():
        raise OutputError(f"{out}: is a folder; give the name of a file, such as {out / 'report.html'}")
    check_absent([out], force)
    names = _names(folders)
    results: list[Described] = []
    with whole_file(out) as partial, tempfile.TemporaryFile("w+", encoding="utf-8", dir=out.parent) as parts:
        for number, (name, folder) in enumerate(names.items()):
            report(Progress("results", number / len(names)))
            described, pictures = describe_result(folder, name, f"result-{number + 1}")
            parts.write(result_section(described, pictures))
            results.append(described)
        parts.seek(0)
        with partial.open("w", encoding="utf-8") as page:
            page.write(page_start(f"shd report: {results[0].name if len(results) == 1 else f'{len(results)} results'}"))
            page.write(group_section(results) if len(results) > 1 else "")
            shutil.copyfileobj(parts, page)
            page.write(PAGE_END)
    return Reported(out, tuple(results), outlying(results))


def describe_result(folder: Path, name: str, anchor: str) -> tuple[Described, dict[str, bytes]]:
    """Return what is said of a folder's result and the PNG of its pictures, by the names of `CAPTIONS`.

    Errors as in `read_fit_folder`, `read_fit_companions` and `make_maps`.
    """
    stored = read_fit_folder(folder)
    fod, beside, peaks = stored.fod, read_fit_companions(stored), peaks_of(stored)
    maps = make_maps(fod, peaks, [each for each in wanted_maps(fod) if each in NEEDED_MAPS])
    numbers = result_numbers(maps, fod.mask, fod.affine, beside.residual)
    shares = tissue_shares(maps)
    if beside.b0 is not None:
        background, ground = beside.b0, "mean b = 0"
    elif shares is not None:
        background, ground = mixed_tissues(shares).mean(axis=-1), "tissues"
    else:
        background, ground = maps["afd_total"], "total AFD"
    shown = Shown(fod, result_planes(fod), background, ground, main_directions(peaks), shares)
    drawn = {MAPS[each].title: maps[each] for each in _DRAWN_MAPS if each in maps}
    drawn |= {"residual": beside.residual} if beside.residual is not None else {}
    map_figure(mapped := BytesIO(), drawn, fod, title="maps", planes=[plane.whole for plane in shown.planes])
    pictures = {
        "planes": planes_figure(shown),
        "directions": directions_figure(shown),
        "maps": mapped.getvalue(),
        "charts": charts_figure(numbers, beside.responses, beside.log),
    }
    sizes = tuple(float(size) for size in np.linalg.norm(fod.affine[:3, :3], axis=0))
    described = Described(
        name, anchor, folder, stored.record, numbers, PEAK_THRESHOLD, fod.degree, (sizes[0], sizes[1], sizes[2]),
        concerns(stored.record, numbers), beside.missing,
    )  # fmt: skip
    return described, pictures


def _names(folders: Sequence[Path | str]) -> dict[str, Path]:
    """Return the folders by the shortest ends of their paths that tell them apart. ScanError as `write_report`."""
    paths = [Path(folder).absolute() for folder in folders]
    bad = [path for path in paths if not (path / "wm_fod.nii.gz").is_file()]
    if bad or not paths:
        more = f" ({len(bad)} of {len(paths)} folders are none)" if len(paths) > 1 else ""
        raise ScanError(
            f"{bad[0] if bad else '0 folders'}: holds no wm_fod.nii.gz{more}; give folders that shd fit, infer or "
            "normalise wrote"
        )
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ScanError(f"{twice}: given {paths.count(twice)} times among {len(paths)} folders; give each once")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return {"/".join(path.parts[-depth:]): path for path in paths}
