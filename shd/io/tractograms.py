"""Tractograms as polylines in scanner millimetres: TRX, MRtrix3's .tck and TrackVis' .trk."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float
from nibabel.streamlines import ArraySequence, Field, TckFile, Tractogram, TrkFile
from nibabel.streamlines.tractogram_file import DataError, HeaderError

from shd._version import __version__
from shd.errors import OutputError, ScanError
from shd.evaluation.tractogram_scores import Streamlines
from shd.io.atomic import whole_file
from shd.io.trx import read_trx, write_trx

__all__ = ["TRACTOGRAM_ENDINGS", "check_ending", "read_streamlines", "write_streamlines"]

TRACTOGRAM_ENDINGS = (".trx", ".tck", ".trk")
_TRK_LARGEST = 32767  # voxels along an axis: its header has 16 bits


def read_streamlines(path: str | Path) -> Streamlines:
    """Return the streamlines of a .trx, .tck or .trk file, in scanner RAS mm whatever the file's own frame.

    Raises ScanError for a file that is missing, damaged, of another kind or without streamlines.
    """
    path = Path(path)
    if path.is_dir():
        raise ScanError(f"{path}: is a folder; give a .trx, .tck or .trk file")
    if not path.is_file():
        raise ScanError(f"{path}: no such file; check the path")
    try:
        streamlines = read_trx(path) if path.suffix == ".trx" else _read_nibabel(path)
    except (DataError, HeaderError, ValueError, TypeError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ScanError(f"{path.name}: not a readable tractogram ({error}); give a .trx, .tck or .trk file") from None
    points = streamlines.points
    if len(streamlines.lengths) == 0:
        raise ScanError(f"{path.name}: 0 streamlines; was tracking successful?")
    if not np.isfinite(points).all():
        raise ScanError(
            f"{path.name}: {int((~np.isfinite(points)).any(axis=1).sum())} of {len(points)} points are "
            "NaN or infinite; track again"
        )
    return streamlines


def check_ending(path: Path) -> None:
    """Raise OutputError for a name that says no kind of tractogram."""
    if path.suffix not in TRACTOGRAM_ENDINGS:
        raise OutputError(f"{path.name}: ends in {path.suffix or 'nothing'}; give {', '.join(TRACTOGRAM_ENDINGS)}")


def write_streamlines(
    path: str | Path,
    streamlines: Streamlines,
    affine: Float[np.ndarray, "4 4"],
    shape: tuple[int, int, int],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write streamlines as .trx, .tck or .trk, by the name's ending; the file appears whole or not at all.

    affine, shape: of the image that was tracked (voxel index → scanner RAS mm), which .trx and .trk keep. notes: lines
    of the header of a .tck. Raises OutputError for another ending, or where the file cannot be written.
    """
    path = Path(path)
    check_ending(path)
    with whole_file(path) as partial:
        if path.suffix == ".trx":
            write_trx(partial, streamlines, affine, shape)
        elif path.suffix == ".tck":
            header = {**(notes or {}), "generator": f"shd {__version__}"}
            TckFile(_tractogram(streamlines), header).save(str(partial))
        else:
            TrkFile(_tractogram(streamlines), _trk_header(path, affine, shape)).save(str(partial))


def _read_nibabel(path: Path) -> Streamlines:
    kind = nib.streamlines.detect_format(path)
    if kind is None:
        raise ValueError("neither .tck nor .trk")
    header = kind._read_header(path)
    told = int(header.get("count") or header[Field.NB_STREAMLINES])
    parts: list[np.ndarray] = []
    try:
        for line in kind.load(path, lazy_load=True).streamlines:
            parts.append(np.asarray(line, dtype=np.float32).reshape(-1, 3))
        if len(parts) < told:
            raise DataError("the end of the file is missing")
    except (DataError, ValueError, TypeError, struct.error) as error:
        whole = _ends(path, header) if kind is TckFile else len(parts)
        raise ScanError(
            f"{path.name}: cut short or damaged: its {path.stat().st_size:,} bytes hold {whole} of "
            f"{told or 'an unknown number of'} streamlines ({error}); copy it again, or track again"
        ) from None
    lengths = np.array([len(line) for line in parts], dtype=np.int64)
    return Streamlines(np.concatenate([np.zeros((0, 3), dtype=np.float32), *parts]), lengths)


def _ends(path: Path, header: Mapping[str, Any]) -> int:
    """Return how many streamlines of a .tck end: each by a point of NaN."""
    values = np.fromfile(path, header["_dtype"], offset=header["_offset_data"])
    return int(np.isnan(values[: len(values) // 3 * 3].reshape(-1, 3)).all(axis=1).sum())


def _tractogram(streamlines: Streamlines) -> Tractogram:
    """Return what nibabel writes, without a copy of the points."""
    lines = ArraySequence()
    lines._data, lines._offsets, lines._lengths = streamlines.points, streamlines.offsets[:-1], streamlines.lengths
    return Tractogram(lines, affine_to_rasmm=np.eye(4))


def _trk_header(path: Path, affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]) -> dict[str, object]:
    if max(shape) > _TRK_LARGEST:
        raise OutputError(f"{path.name}: {max(shape)} voxels along an axis, but .trk holds {_TRK_LARGEST}; use .trx")
    return {
        Field.VOXEL_TO_RASMM: np.asarray(affine, dtype=np.float32),
        Field.VOXEL_SIZES: np.linalg.norm(affine[:3, :3], axis=0).astype(np.float32),
        Field.DIMENSIONS: np.array(shape, dtype=np.int16),
        Field.VOXEL_ORDER: "".join(nib.aff2axcodes(affine)),
    }
