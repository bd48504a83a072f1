"""`fixels`: a fixel folder of MRtrix3."""

from pathlib import Path

from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.io.fixel_folder import check_fixel_format, write_fixels

__all__ = ["FIXELS"]


def _files(source: Source, choices: Choices) -> list[str]:
    check_fixel_format(choices.fixel_format, len(source.fixels.afd))
    return ["fixels"]


def _write(source: Source, folder: Path, choices: Choices) -> None:
    write_fixels(folder / "fixels", source.fixels, source.mask, source.affine, choices.fixel_format)


FIXELS = Format("fixels", _files, _write)
