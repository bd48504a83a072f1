"""The subjects of a cohort: which files belong to each, from a table, a list or a folder of BIDS derivatives."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shd.errors import ScanError, number_of
from shd.io.images import image_stem
from shd.io.responses import read_given_responses
from shd.io.scans import read_scan
from shd.io.subject_lists import SEPARATORS
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["Subject", "read_subjects"]

_FILES = ("dwi", "bval", "bvec", "grad", "mask", "label")
_TISSUES = ("wm", "gm", "csf")
_COLUMNS = ("name", *_FILES, *_TISSUES)
_ABSENT = ("", "n/a")  # BIDS writes n/a
_SCAN, _MASK = "_desc-preproc_dwi", "_desc-brain_mask.nii.gz"
_LAYOUTS = (f"sub-*/dwi/*{_SCAN}.nii*", f"sub-*/ses-*/dwi/*{_SCAN}.nii*")


@dataclass(frozen=True)
class Subject:
    """A scan's files under a name; None is left to `read_scan`, which looks beside the image or computes the mask.

    name: of the folder for its results, different for every subject. label: image of what each voxel is, to train and
    score segmentations. responses: by tissue, wm gm csf.
    """

    name: str
    dwi: Path
    bval: Path | None = None
    bvec: Path | None = None
    grad: Path | None = None
    mask: Path | None = None
    responses: Mapping[str, Path] = field(default_factory=dict)
    label: Path | None = None

    def read(self, ignore_bad_voxels: bool = False) -> tuple[Scan, tuple[Response, ...] | None]:
        """Return the scan, and its responses (white matter first) or None where it brings none.

        Raises what `read_scan` and `read_given_responses` raise.
        """
        scan = read_scan(self.dwi, self.bval, self.bvec, self.grad, self.mask, ignore_bad_voxels)
        given = {tissue: self.responses.get(tissue) for tissue in _TISSUES}
        return scan, read_given_responses(given, scan)

    def files(self) -> dict[str, Path]:
        """Return the files given, by what they are: dwi, bval, …, label, wm, gm, csf."""
        own = {name: getattr(self, name) for name in _FILES}
        return {name: path for name, path in (own | dict(self.responses)).items() if path is not None}


def read_subjects(path: str | Path) -> tuple[Subject, ...]:
    """Return the subjects in the order of the list, whose files have been looked for; nothing is read yet.

    path: one of

    - a table with a header, .tsv or .csv. Columns, of which only dwi is needed: name, dwi, bval, bvec, grad (MRtrix3's
      gradient table), mask, label, and responses wm, gm, csf. Empty cells and n/a are not given;
    - a text file, .txt, with the path of a scan on each line, whose table is beside it; lines that begin with # are
      comments;
    - a folder of BIDS derivatives as QSIPrep writes it: sub-*/[ses-*/]dwi/*_desc-preproc_dwi.nii.gz, with
      MRtrix3's table `.b` before .bval and .bvec, and *_desc-brain_mask.nii.gz.

    Paths are relative to the list's folder, and absolute in what is returned. A name is by default that of the scan's
    file, without its ending and without `_desc-preproc_dwi`.

    Raises ScanError for an empty list, an unknown column, a missing file or two subjects of one name, with the line.
    """
    source = Path(path).absolute()
    if source.is_dir():
        found = [("", _of_derivatives(image)) for layout in _LAYOUTS for image in source.glob(layout)]
        found.sort(key=lambda entry: entry[1].name)
        expected = "sub-*/[ses-*/]dwi/*_desc-preproc_dwi.nii.gz; give QSIPrep's output folder, or a table of scans"
    else:
        lines = _lines(source)
        separator = SEPARATORS.get(source.suffix.lower())
        found = list(_of_lines(source, lines) if separator is None else _of_table(source, lines, separator))
        expected = "a line each; add the scans"
    if not found:
        raise ScanError(f"{source}: 0 subjects; expected {expected}")
    _check_files(source, found)
    _check_names(source, found)
    return tuple(subject for _, subject in found)


def _lines(source: Path) -> list[str]:
    try:
        return source.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ScanError(f"{source}: no such file; check the path of the list of subjects") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScanError(f"{source}: cannot be read as text ({error}); give a .tsv, .csv or .txt file") from error


def _of_lines(source: Path, lines: Iterable[str]) -> Iterable[tuple[str, Subject]]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            dwi = source.parent / text
            yield f"line {number}", Subject(_stem(dwi), dwi)


def _of_table(source: Path, lines: Iterable[str], separator: str) -> Iterable[tuple[str, Subject]]:
    rows = csv.reader(lines, delimiter=separator)
    header = [name.strip().lower() for name in next(rows, [])]
    _check_header(source, header, separator)
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        place = f"line {rows.line_num}"
        if len(cells) != len(header):
            raise ScanError(
                f"{source}, {place}: {number_of(len(cells), 'cell')} but {number_of(len(header), 'column')}; write "
                "n/a in empty ones"
            )
        given = {name: cell for name, cell in zip(header, cells, strict=True) if cell not in _ABSENT}
        if "dwi" not in given:
            raise ScanError(f"{source}, {place}: no dwi; give the path of the scan")
        paths = {name: source.parent / text for name, text in given.items() if name != "name"}
        files = {name: paths[name] for name in _FILES if name in paths}
        responses = {tissue: paths[tissue] for tissue in _TISSUES if tissue in paths}
        yield place, Subject(given.get("name", _stem(files["dwi"])), **files, responses=responses)


def _check_header(source: Path, header: list[str], separator: str) -> None:
    unknown = [name for name in header if name not in _COLUMNS]
    if unknown:
        wrong = f"unknown column {unknown[0]!r}"
    elif "dwi" not in header:
        wrong = "no column 'dwi'"
    elif len(set(header)) < len(header):
        wrong = "a column twice"
    else:
        return
    raise ScanError(
        f"{source}: {wrong} among {len(header)} ({', '.join(header)}); the header names some of {', '.join(_COLUMNS)}, "
        f"separated by {'tabs' if separator == chr(9) else 'commas'}"
    )


def _of_derivatives(image: Path) -> Subject:
    """Return the subject whose preprocessed scan is `image`, with what QSIPrep puts beside it."""
    stem = image.name.partition(".nii")[0]
    name = stem.removesuffix(_SCAN)
    grad, mask = image.with_name(f"{stem}.b"), image.with_name(name + _MASK)
    return Subject(name, image, grad=grad if grad.is_file() else None, mask=mask if mask.is_file() else None)


def _check_files(source: Path, found: Iterable[tuple[str, Subject]]) -> None:
    missing = [(place, path) for place, subject in found for path in subject.files().values() if not path.is_file()]
    if missing:
        place, path = missing[0]
        more = f" (and {len(missing) - 1} more missing)" if missing[1:] else ""
        raise ScanError(f"{source}, {place}: {path}: no such file{more}; correct the path, or leave the line out")


def _check_names(source: Path, found: Iterable[tuple[str, Subject]]) -> None:
    """Names become folders: they must differ where capitals do not count, too, as on many disks."""
    seen: dict[str, str] = {}
    for place, subject in found:
        name = subject.name
        where = ", ".join(filter(None, (str(source), place)))
        if name.startswith(".") or name.endswith(".partial") or any(mark in name for mark in "/\\\0"):
            raise ScanError(
                f"{where}: the name {name!r} cannot be a folder's; leave out /, \\, a dot in front and .partial"
            )
        if name.lower() in seen:
            raise ScanError(
                f"{where}: 2 subjects of the name {name!r}, the other on {seen[name.lower()] or 'another place'}; "
                "give each its own, in a table's column `name`"
            )
        seen[name.lower()] = place


def _stem(image: Path) -> str:
    """Return the name of a scan's file without its ending and what QSIPrep adds to every scan's."""
    return image_stem(image).removesuffix(_SCAN)
