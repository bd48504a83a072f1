"""A large image that is packed, scaled or of foreign byte order, as a mapped file of plain numbers."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from nibabel.arrayproxy import ArrayProxy
from nibabel.openers import ImageOpener

__all__ = ["plain_numbers", "unpacked"]

_LARGE = 1 << 30  # bytes: less than that is quicker in memory and fits into any
_AT_ONCE = 1 << 24  # numbers
_SPARE = 1.1  # of the temporary folder's room: other programs write there too


def plain_numbers(raw: Shaped[np.ndarray, "*grid"], proxy: ArrayProxy) -> Shaped[np.ndarray, "*grid"]:
    """Return numbers as they lie on disk in this machine's byte order, as float32 where the header scales them."""
    if (proxy.slope, proxy.inter) != (1.0, 0.0):
        raw = raw.astype(np.float32)
        raw *= np.float32(proxy.slope)
        raw += np.float32(proxy.inter)
    return raw if raw.dtype.isnative else raw.astype(raw.dtype.newbyteorder("="))


def unpacked(path: Path, proxy: ArrayProxy) -> Shaped[np.ndarray, "*grid"] | None:
    """Return what `plain_numbers` does of the whole image, mapped to a temporary file that nobody else sees.

    What is mapped takes memory only while there is some to spare, where numbers in memory would stay. None where the
    image takes no memory as it is (a plain file), takes little, or finds no room in the folder of temporary files
    (`TMPDIR`). Raises EOFError where the file ends too early, and what unpacking raises.
    """
    plain = plain_numbers(np.empty(0, proxy.dtype), proxy).dtype
    size = plain.itemsize * int(np.prod(proxy.shape))
    mapped_already = path.suffix != ".gz" and (plain, proxy.slope, proxy.inter) == (proxy.dtype, 1.0, 0.0)
    if mapped_already or size < _LARGE or shutil.disk_usage(tempfile.gettempdir()).free < _SPARE * size:
        return None
    left = int(np.prod(proxy.shape))
    with ImageOpener(str(path)) as packed, tempfile.TemporaryFile(prefix="shd-") as file:
        packed.seek(proxy.offset)
        while left:
            some = min(left, _AT_ONCE)
            raw = packed.read(some * proxy.dtype.itemsize)
            if len(raw) < some * proxy.dtype.itemsize:
                raise EOFError(f"{left} numbers are missing")
            try:
                file.write(plain_numbers(np.frombuffer(raw, proxy.dtype), proxy).data)
            except OSError:  # another program was quicker to fill the disk
                return None
            left -= some
        file.flush()
        return np.memmap(file, plain, "r", shape=proxy.shape, order="F")
