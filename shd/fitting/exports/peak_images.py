"""`peaks-mrtrix`, `peaks-scilpy`, `peaks-tractseg`: peak images in three layouts."""

from pathlib import Path

from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.io.images import sidecar_path
from shd.io.peak_layouts import LAYOUTS, values_path, write_laid_out

__all__ = ["PEAK_IMAGES"]


def _format(layout: str) -> Format:
    image = Path(f"peaks_{layout}.nii.gz")
    images = [image, values_path(image)] if LAYOUTS[layout].unit else [image]

    def files(source: Source, choices: Choices) -> list[str]:
        return [path.name for each in images for path in (each, sidecar_path(each))]

    def write(source: Source, folder: Path, choices: Choices) -> None:
        write_laid_out(folder / image, source.peaks, source.affine, LAYOUTS[layout], source.sidecar())

    return Format(f"peaks-{layout}", files, write)


PEAK_IMAGES = tuple(_format(layout) for layout in LAYOUTS)
