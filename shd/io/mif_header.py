"""The header of MRtrix3's own image format: sizes, order on disk, number type, geometry, and whatever else it says.

Source: the format's description in the MRtrix3 manual, "Images and other data", with the behaviour of `mrconvert`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.errors import ScanError

__all__ = ["MifHeader", "header_text", "parse_header"]

_MAGIC = "mrtrix image"
_KINDS = {
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "int64": "i8",
    "uint64": "u8", "float16": "f2", "float32": "f4", "float64": "f8",
}  # fmt: skip
_WRITTEN = {"<f4": "Float32LE", "<u4": "UInt32LE", "<i2": "Int16LE"}
_STRUCTURE = frozenset({"dim", "vox", "layout", "datatype", "file", "transform", "scaling"})


@dataclass(frozen=True, eq=False)
class MifHeader:
    """What the lines of the header say.

    shape: sizes along the image axes. order: image axes from the fastest on disk to the slowest; backwards: image axes
    that run backwards on disk. dtype: of the stored numbers, None for single bits. offset: where the data begin.
    affine: voxel index → scanner RAS mm. scaling: added, and multiplied by, to give intensities. keys: every other
    line, by key; a key may stand on several lines.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    backwards: tuple[int, ...]
    dtype: np.dtype | None
    offset: int
    affine: Float[np.ndarray, "4 4"]
    scaling: tuple[float, float]
    keys: dict[str, list[str]]


def parse_header(text: bytes, name: str) -> MifHeader:
    """Return the header at the beginning of a file; `name` is for messages. Raises ScanError where it is none."""
    lines = _lines(text, name)
    try:
        shape = tuple(int(word) for word in lines["dim"][0].split(","))
        sizes = [float(word) for word in lines["vox"][0].split(",")]
        order, backwards = _layout(lines["layout"][0])
        place, offset = lines["file"][0].split()
        affine = _affine(lines.get("transform", []), sizes, shape)
        added, factor = (float(word) for word in lines.get("scaling", ["0,1"])[0].split(","))
    except (KeyError, ValueError, IndexError) as error:
        raise ScanError(f"{name}: its header cannot be understood ({error!r}); convert it again by mrconvert") from None
    if len(shape) < 3 or min(shape) < 1 or sorted(order) != list(range(len(shape))):
        raise ScanError(
            f"{name}: sizes {list(shape)} with layout {lines['layout'][0]}, but 3 or more axes, each with a place on "
            "disk, make an image; convert it again by mrconvert"
        )
    if place != ".":
        raise ScanError(f"{name}: its data are in another file ({place}); join them: mrconvert {name} one.mif")
    kind = _dtype(lines.get("datatype", ["?"])[0], name)
    keys = {key: values for key, values in lines.items() if key not in _STRUCTURE}
    return MifHeader(shape, order, backwards, kind, int(offset), affine, (added, factor), keys)


def header_text(
    shape: Sequence[int], affine: Float[np.ndarray, "4 4"], keys: Mapping[str, Sequence[str]], dtype: str
) -> bytes:
    """Return the header of "<f4", "<u4" or "<i2" numbers, first axis fastest, up to where the data begin."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    transform = np.column_stack([affine[:3, :3] / sizes, affine[:3, 3]])
    lines = [
        _MAGIC,
        "dim: " + ",".join(map(str, shape)),
        "vox: " + ",".join([*(f"{size:.10g}" for size in sizes), *("1" for _ in shape[3:])]),
        "layout: " + ",".join(f"+{axis}" for axis in range(len(shape))),
        f"datatype: {_WRITTEN[dtype]}",
        *("transform: " + ", ".join(f"{number:.16g}" for number in row) for row in transform),
        *(f"{key}: {line}" for key, values in keys.items() for value in values for line in value.splitlines()),
    ]
    text = "\n".join(lines).encode() + b"\n"
    room = len(b"file: . 00000000\nEND\n")
    offset = -(-(len(text) + room) // 16) * 16
    end = b"file: . %d\nEND\n" % offset
    return (text + end).ljust(offset, b"\0")


def _lines(text: bytes, name: str) -> dict[str, list[str]]:
    """Return the values of each key, in the order of their lines."""
    head, end, _ = text.partition(b"\nEND\n")
    first, *rest = head.decode(errors="replace").splitlines() or [""]
    if first.strip() != _MAGIC:
        raise ScanError(f"{name}: does not begin with '{_MAGIC}'; is it an MRtrix3 image?")
    if not end:
        raise ScanError(f"{name}: its header has no END in {len(text):,} bytes; copy or convert it again")
    lines: dict[str, list[str]] = {}
    for line in rest:
        key, _, value = line.partition(":")
        lines.setdefault(key.strip(), []).append(value.strip())
    return lines


def _layout(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the image axes from fastest to slowest, and those that run backwards: `-1,+0` is axis 1, then axis 0."""
    words = text.split(",")
    ranks = [int(word) for word in words]
    order = tuple(sorted(range(len(words)), key=lambda axis: abs(ranks[axis])))
    if sorted(map(abs, ranks)) != list(range(len(words))):
        raise ValueError(f"layout {text}")
    return order, tuple(axis for axis, word in enumerate(words) if word.strip().startswith("-"))


def _dtype(name: str, image: str) -> np.dtype | None:
    kind = name.lower()
    if kind == "bit":
        return None
    ending = {"le": "<", "be": ">"}.get(kind[-2:], "=")
    kind = kind[:-2] if ending != "=" else kind
    if kind not in _KINDS:
        raise ScanError(f"{image}: voxels of type {name}, but 1 real number a voxel is needed; convert it by mrconvert")
    return np.dtype(ending + _KINDS[kind])


def _affine(rows: Sequence[str], sizes: Sequence[float], shape: Sequence[int]) -> Float[np.ndarray, "4 4"]:
    """Return voxel → mm; without a transform MRtrix3 puts the middle of the volume at the origin."""
    affine = np.eye(4)
    edges = np.array(sizes[:3])
    if rows:
        affine[:3] = np.array([[float(word) for word in row.split(",")] for row in rows[:3]])
    else:
        affine[:3, 3] = -0.5 * (np.array(shape[:3]) - 1) * edges
    affine[:3, :3] *= edges
    return affine
