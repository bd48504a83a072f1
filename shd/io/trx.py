"""TRX tractograms: a zip archive of plain arrays with a small JSON header (https://tee-ar-ex.github.io/trx-spec).

trx-python opens what is written here, and the other way round. It is not used itself because it opens files for
writing, which those of a shared data set are not, and puts the time of day into the archive: here equal streamlines
give equal bytes.
"""

import json
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Shaped

from shd.errors import ScanError
from shd.evaluation.tractogram_scores import Streamlines

__all__ = ["read_trx", "write_trx"]

_IN_EXTRA = 0xFFFFFFFF  # a size that does not fit
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can state
_POSITIONS = re.compile(r"positions\.3\.(float16|float32|float64)")
_OFFSETS = re.compile(r"offsets\.(uint32|uint64|int32|int64)")


def write_trx(
    path: Path, streamlines: Streamlines, affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]
) -> None:
    """Write streamlines, with the grid that they were tracked on, uncompressed as trx-python maps them into memory."""
    header = {
        "DIMENSIONS": [int(size) for size in shape],
        "VOXEL_TO_RASMM": np.asarray(affine, dtype=np.float64).tolist(),
        "NB_VERTICES": len(streamlines.points),
        "NB_STREAMLINES": len(streamlines.lengths),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (
            ("header.json", json.dumps(header).encode()),
            ("positions.3.float32", np.ascontiguousarray(streamlines.points, dtype="<f4").data.cast("B")),
            ("offsets.uint64", streamlines.offsets.astype("<u8").data.cast("B")),
        ):
            with archive.open(zipfile.ZipInfo(name, _LONG_AGO), "w", force_zip64=True) as file:
                file.write(content)


def read_trx(path: Path) -> Streamlines:
    """Return the streamlines of a TRX file, in scanner RAS mm; what else it holds is left.

    Raises ScanError for a file that is cut short, ValueError or OSError (zipfile's among them) for what is not one.
    """
    announced, there = _announced(path), path.stat().st_size
    if announced and not zipfile.is_zipfile(path):  # whose end lists what is in it
        raise ScanError(
            f"{path.name}: cut short: {there:,} bytes there, more than {max(announced, there):,} expected; copy it "
            "again, or track again"
        )
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "header.json" not in names:
            raise ValueError("no header.json")
        header = json.loads(archive.read("header.json"))
        count, vertices = int(header["NB_STREAMLINES"]), int(header["NB_VERTICES"])
        if count == 0:
            return Streamlines(np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64))
        points = _array(archive, _POSITIONS).reshape(-1, 3).astype(np.float32)
        offsets = _array(archive, _OFFSETS).astype(np.int64)
    if len(offsets) == count:  # early versions left the last one out
        offsets = np.append(offsets, vertices)
    lengths = np.diff(offsets)
    if len(points) != vertices or len(lengths) != count or offsets[-1] != vertices or (lengths < 0).any():
        raise ValueError(f"{len(points)} points in {len(lengths)} lines, but its header says {vertices} in {count}")
    return Streamlines(points, lengths)


def _announced(path: Path) -> int:
    """Return the bytes that the members of a zip archive take together, as far as those that are there tell."""
    place = 0
    with path.open("rb") as file:
        while len(head := file.read(30)) == 30 and head.startswith(b"PK\x03\x04"):
            packed, _, name, extra = struct.unpack("<IIHH", head[18:])
            more = file.read(name + extra)[name:]
            if len(more) < extra:
                break
            if packed == _IN_EXTRA and extra >= 20:  # ZIP64: the sizes, of 8 bytes, are in the extra field
                packed = int.from_bytes(more[12:20], "little")
            place += 30 + name + extra + packed
            file.seek(place)
    return place


def _array(archive: zipfile.ZipFile, pattern: re.Pattern[str]) -> Shaped[np.ndarray, " value"] | Int[np.ndarray, " n"]:
    """Return the values of the member whose name matches, in the type that its ending says."""
    for name in archive.namelist():
        found = pattern.fullmatch(name)
        if found:
            return np.frombuffer(archive.read(name), dtype=np.dtype(found[1]).newbyteorder("<"))
    raise ValueError(f"no {pattern.pattern}")
