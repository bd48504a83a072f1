"""`fib`: peaks for DSI Studio, with a sidecar for where the grid lies, which the file cannot tell."""

from pathlib import Path

from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.io.atomic import write_json
from shd.io.fib import lps_affine, write_fib

__all__ = ["FIB"]

_REPORT = "Peaks of white-matter fibre orientation distributions by shd; fa0, fa1, ... are amplitudes."


def _files(source: Source, choices: Choices) -> list[str]:
    return ["wm.fib.gz", "wm_fib.json"]


def _write(source: Source, folder: Path, choices: Choices) -> None:
    write_fib(folder / "wm.fib.gz", source.peaks, source.affine, _REPORT)
    affine, _ = lps_affine(source.affine, source.shape)
    told = {
        "Frame": "axes of the voxel grid, which runs left, back and up (LPS)",
        "Affine": affine,
        "AffineDescription": "index of a voxel of this file to scanner RAS mm",
    }
    write_json(folder / "wm_fib.json", {**source.sidecar(), **told})


FIB = Format("fib", _files, _write)
