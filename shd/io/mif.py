"""MRtrix3 images, .mif and .mif.gz: read in any order on disk and any type of number, written in one."""

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Real, Shaped

from shd.errors import GradientError, ScanError
from shd.io.atomic import plain, whole_file
from shd.io.mif_header import MifHeader, header_text, parse_header

__all__ = ["MifImage", "is_mif", "read_mif", "read_mif_header", "write_mif"]

_HEADER_LIMIT = 1 << 22  # bytes; a dw_scheme of 1000 volumes takes 60,000
GZIP_LEVEL = 1


@dataclass(frozen=True, eq=False)
class MifImage:
    """An image and what its header says.

    data: along the image axes, in the type on disk, or float32 where the header scales them; memory-mapped where the
    file is not compressed. affine: voxel index → scanner RAS mm. keys: further lines of the header.
    """

    data: Shaped[np.ndarray, "*grid"]
    affine: Float[np.ndarray, "4 4"]
    keys: dict[str, list[str]]

    def gradients(self, name: str) -> Float[np.ndarray, "volume 4"] | None:
        """Return the table x y z b (scanner axes, s/mm²) of `dw_scheme`, None without; raises GradientError."""
        if "dw_scheme" not in self.keys:
            return None
        try:
            table = np.array([[float(word) for word in row.split(",")[:4]] for row in self.keys["dw_scheme"]])
        except ValueError as error:
            raise GradientError(f"{name}: its dw_scheme is no table of numbers ({error}); give --grad") from None
        if table.ndim != 2 or table.shape[1] != 4:
            raise GradientError(f"{name}: its dw_scheme has shape {table.shape}, but rows x y z b are needed")
        return table

    @property
    def sidecar(self) -> dict[str, Any]:
        """What `write_mif` was told as `sidecar`: the keys whose value is JSON."""
        found = {}
        for key, values in self.keys.items():
            with suppress(ValueError):
                found[key] = json.loads("\n".join(values))
        return found


def is_mif(path: str | Path) -> bool:
    """Return whether a name is that of an MRtrix3 image."""
    return str(path).endswith((".mif", ".mif.gz"))


def read_mif_header(path: str | Path) -> MifHeader:
    """Return what an MRtrix3 image's header says, without its numbers; errors as in `read_mif`."""
    path = Path(path)
    if not path.is_file():
        raise ScanError(f"{path}: no such file; check the path")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(_HEADER_LIMIT)
    except (OSError, EOFError, zlib.error) as error:
        raise ScanError(f"{path.name}: damaged or cut short ({error}); copy or convert it again") from None
    return parse_header(head, path.name)


def read_mif(path: str | Path) -> MifImage:
    """Return an MRtrix3 image, whatever its layout, byte order and number type.

    Raises ScanError for a file that is missing, cut short, of another kind, or of complex numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanError(f"{path}: no such file; check the path")
    try:
        content: bytes | None = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else None
        with path.open("rb") as file:
            head = content[:_HEADER_LIMIT] if content is not None else file.read(_HEADER_LIMIT)
    except (OSError, EOFError, zlib.error) as error:
        raise ScanError(f"{path.name}: damaged or cut short ({error}); copy or convert it again") from None
    header = parse_header(head, path.name)
    held = (len(content) if content is not None else path.stat().st_size) - header.offset
    needed = -(-math.prod(header.shape) // 8)
    if header.dtype is not None:
        needed = math.prod(header.shape) * header.dtype.itemsize
    if held < needed:
        raise ScanError(
            f"{path.name}: damaged or cut short: {max(held, 0):,} of {needed:,} bytes of image are there; copy or "
            "convert it again"
        )
    stored = _stored(path, content, header)
    data = stored.transpose(np.argsort(header.order[::-1]))
    data = np.flip(data, header.backwards)
    if header.scaling != (0.0, 1.0):
        data = data.astype(np.float32) * np.float32(header.scaling[1]) + np.float32(header.scaling[0])
    data = data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))
    return MifImage(data, header.affine, header.keys)


def write_mif(
    path: str | Path,
    volumes: Iterable[Real[np.ndarray, "x y z"]],
    shape: Sequence[int],
    affine: Float[np.ndarray, "4 4"],
    sidecar: Mapping[str, Any] | None = None,
    gradients: Float[np.ndarray, "volume 4"] | None = None,
    dtype: str = "<f4",
) -> None:
    """Write `volumes` as one image of `shape` (3-D or 4-D), layout +0,+1,+2,+3; it appears whole or not at all.

    affine: voxel index → scanner RAS mm. sidecar: what the JSON beside a NIfTI would hold, one line of the header a
    key; MRtrix3 programs hand it on. gradients: rows x y z b in scanner axes, for `dw_scheme`. dtype: "<f4",
    "<u4" or "<i2".
    Raises OutputError where the file cannot be written.
    """
    keys = {key: [json.dumps(value, default=plain, ensure_ascii=False)] for key, value in (sidecar or {}).items()}
    if gradients is not None:
        keys["dw_scheme"] = [",".join(f"{number:.10g}" for number in row) for row in gradients]
    with whole_file(path) as partial, partial.open("wb") as raw:
        if partial.suffix == ".gz":
            with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed:
                _write(packed, header_text(shape, affine, keys, dtype), volumes, dtype)
        else:
            _write(raw, header_text(shape, affine, keys, dtype), volumes, dtype)


def _stored(path: Path, content: bytes | None, header: MifHeader) -> Shaped[np.ndarray, "*slowest_first"]:
    """Return the numbers in the order of the disk, axes from the slowest to the fastest."""
    shape = tuple(header.shape[axis] for axis in reversed(header.order))
    if header.dtype is None:
        count = math.prod(shape)
        offset, size = header.offset, -(-count // 8)
        if content is not None:
            packed = np.frombuffer(content, np.uint8, size, offset)
        else:
            packed = np.fromfile(path, np.uint8, size, offset=offset)
        return np.unpackbits(packed, count=count).reshape(shape)
    if content is not None:
        return np.frombuffer(content, header.dtype, math.prod(shape), header.offset).reshape(shape)
    return np.memmap(path, header.dtype, "r", header.offset, shape)


def _write(stream: Any, head: bytes, volumes: Iterable[Real[np.ndarray, "x y z"]], dtype: str) -> None:
    stream.write(head)
    for volume in volumes:
        stream.write(np.asarray(volume, dtype=dtype).tobytes(order="F"))
