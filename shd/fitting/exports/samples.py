"""`odf`: fODFs sampled on a named sphere, voxel axes, with the directions beside them."""

from pathlib import Path

from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.io.samples import write_samples
from shd.io.spheres import named_directions

__all__ = ["ODF"]


def _files(source: Source, choices: Choices) -> list[str]:
    named_directions(choices.sphere)
    return [f"wm_odf_{choices.sphere}{ending}" for ending in (".nii.gz", ".json", "_vertices.txt")]


def _write(source: Source, folder: Path, choices: Choices) -> None:
    image, _, vertices = (folder / name for name in _files(source, choices))
    directions = named_directions(choices.sphere)
    write_samples(image, vertices, source.wm, directions, source.affine, source.mask, source.sidecar())


ODF = Format("odf", _files, _write)
