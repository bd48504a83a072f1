"""BIDS derivatives of a fit: its images under BIDS names with full sidecars, and the dataset's description."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from shd.errors import OutputError, ScanError
from shd.fodf.encoding import OURS
from shd.io.atomic import check_absent, write_json
from shd.io.bids_names import Entities, NameTemplate, checked_label, read_template
from shd.io.bids_sidecars import dataset_description, field_sidecar, fod_sidecar, mask_sidecar, peaks_sidecar
from shd.io.fit_folder import StoredFit
from shd.io.fodf import write_fod, write_scalar
from shd.io.harmonics import harmonic_encoding
from shd.io.images import read_with_sidecar, write_image
from shd.io.mif import is_mif
from shd.io.staging import staged_files
from shd.signal.response import TISSUES

__all__ = ["planned_files", "put_derivatives", "put_description", "write_bids"]

_DESCRIPTION = "dataset_description.json"
_BESIDE = {
    ("peaks", ""): "peaks.nii.gz",
    ("field", ""): "intensity_field.nii.gz",
    ("figure", ""): "fit.png",
    **{("response", tissue): f"response_{tissue}.txt" for tissue in TISSUES},
}
"""Files of a fit that are not in `StoredFit`, by kind and tissue."""
_IGNORE = """# Names of the drafts that diffusion derivatives follow, which the BIDS validator does not know yet
*_dwimap.*
*_response.txt
sub-*/figures
sub-*.html
logs
group
"""
_README = """# Fibre orientation distributions by shd

Derivatives of preprocessed diffusion MRI: for every scan the fibre orientation distributions of white matter, the
amounts of grey matter and cerebrospinal fluid (with several shells), peaks, mask and responses. Harmonic coefficients
are in the MRtrix3 basis and, like the peaks, in scanner axes (RAS, mm) whatever the image's affine; every image's JSON
file says so in the words of the BIDS draft for diffusion models (BEP016).
"""


def write_bids(
    stored: StoredFit,
    dest: Path,
    *,
    subject: str,
    session: str | None = None,
    space: str | None = None,
    template: str | Path = "bep016",
    force: bool = False,
) -> list[Path]:
    """Write a fit as BIDS derivatives below `dest` and return the files, which appear together or not at all.

    subject, session, space: labels, with their keys or without. template: `bep016`, `qsirecon`, or a file of patterns
    (see `read_template`). dest: a folder of its own; `dataset_description.json`, `README.md` and `.bidsignore` are
    written where there are none. force: replace files of the same names. A result of `shd normalise` is called
    `desc-normalised`.

    Raises FormatError for a label that BIDS does not allow and for a template that is unknown or leads two files to one
    name, OutputError where files exist already, where `dest` is another program's dataset, or cannot be written.
    """
    given = {"ses": session, "space": space}
    labels = {key: checked_label(key, label) for key, label in given.items() if label is not None}
    desc = "normalised" if "intensity_normalisation" in stored.record else ""
    entities = Entities(checked_label("sub", subject), labels.get("ses", ""), "", labels.get("space", ""), desc)
    names = read_template(template)
    planned = planned_files(stored, names, entities)
    # a normalised result has the mask of the result that it was made of
    check_absent([Path(dest) / path for (kind, _), path in planned.items() if kind != "mask" or not desc], force)
    scan = stored.record.get("inputs", {}).get("dwi")
    with staged_files(dest) as stage:
        put_description(stage, Path(dest), None if scan is None else _dataset_of(Path(scan)))
        put_derivatives(stage, stored, names, entities)
        written = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    return [Path(dest) / path for path in written]


def _dataset_of(scan: Path) -> Path | None:
    """Return the folder of the BIDS dataset that a file is in, the nearest with a description; None outside of one."""
    return next((folder for folder in scan.absolute().parents if (folder / _DESCRIPTION).is_file()), None)


def planned_files(stored: StoredFit, names: NameTemplate, entities: Entities) -> dict[tuple[str, str], Path]:
    """Return the path below the dataset of each output, by kind and tissue."""
    folder = stored.path if stored.path.is_dir() else None
    outputs = [("fod", tissue) for tissue in TISSUES if tissue == "wm" or tissue in stored.fod.isotropic]
    outputs.append(("mask", ""))
    if folder is not None:
        outputs += [output for output, name in _BESIDE.items() if (folder / name).is_file()]
    return names.paths(entities, outputs)


def put_derivatives(
    stage: Path, stored: StoredFit, names: NameTemplate, entities: Entities, sources: Sequence[str] = ()
) -> None:
    """Write the images, responses and figure of a fit below `stage`; sources: BIDS URIs, for the sidecars."""
    for (kind, tissue), path in planned_files(stored, names, entities).items():
        (stage / path).parent.mkdir(parents=True, exist_ok=True)
        _write(stored, kind, tissue, stage / path, sources)


def _write(stored: StoredFit, kind: str, tissue: str, path: Path, sources: Sequence[str]) -> None:
    """Write one output to `path`."""
    fod, wm = stored.fod, stored.sidecars.get("wm", {})
    if kind in ("response", "figure"):
        shutil.copyfile(stored.path / _BESIDE[kind, tissue], path)
        return
    if kind == "fod":
        describe = fod_sidecar(stored.sidecars.get(tissue, {}), tissue, sources)
        if tissue == "wm":
            write_fod(path, fod.wm, fod.affine, fod.mask, describe)
        else:
            write_scalar(path, fod.isotropic[tissue], fod.affine, describe)
        describe |= harmonic_encoding(OURS, fod.degree if tissue == "wm" else 0)
    elif kind == "mask":
        describe = mask_sidecar(sources)
        write_image(path, [fod.mask.astype(np.float32)], fod.mask.shape, fod.affine, describe)
    else:
        values, affine, _ = read_with_sidecar(stored.path / _BESIDE[kind, ""])
        describe = peaks_sidecar(wm, sources) if kind == "peaks" else field_sidecar(wm, sources)
        write_image(path, _zero_filled(values), values.shape, affine, describe)
    if is_mif(path):  # BIDS reads JSON, not MRtrix's header
        write_json(path.with_name(f"{path.name.partition('.mif')[0]}.json"), describe)


def _zero_filled(values: Float32[np.ndarray, "x y z *component"]) -> Iterator[Float32[np.ndarray, "x y z"]]:
    """Give the volumes with zero where no peak is: JSON has no NaN to say so."""
    volumes = values[..., None] if values.ndim == 3 else values
    for index in range(volumes.shape[3]):
        yield np.nan_to_num(volumes[..., index], nan=0.0)


def put_description(stage: Path, dest: Path, source: Path | None) -> None:
    """Write into `stage` what `dest` has not yet: dataset_description.json, README.md, .bidsignore.

    source: folder of the dataset that the scans are from. Raises OutputError where `dest` is a dataset of another
    program.
    """
    if (dest / _DESCRIPTION).is_file():
        _check_ours(dest / _DESCRIPTION)
    else:
        write_json(stage / _DESCRIPTION, dataset_description("shd: fibre orientation distributions", dest, source))
    for name, text in {"README.md": _README, ".bidsignore": _IGNORE}.items():
        if not (dest / name).exists():
            (stage / name).write_text(text, encoding="utf-8")


def _check_ours(description: Path) -> None:
    try:
        content: Any = json.loads(description.read_text(encoding="utf-8"))
        makers = [str(entry["Name"]) for entry in content.get("GeneratedBy", [])]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ScanError(f"{description}: not readable as a dataset's description ({error}); correct it") from error
    if "shd" not in makers:
        raise OutputError(
            f"{description.parent}: is a dataset of {', '.join(makers) or 'raw data'}, not of shd; give a folder of "
            "its own, such as derivatives/shd"
        )
