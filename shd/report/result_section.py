"""The part of a page about one result: what to look at, pictures, numbers with their meaning, what to do next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from shd.report.next_steps import next_steps
from shd.report.page import code, items, picture, rows, section, table, text
from shd.report.result_numbers import ResultNumbers
from shd.report.run_words import run_words

__all__ = ["CAPTIONS", "Described", "result_section"]

CAPTIONS = {
    "planes": "Slices with most white matter, radiological view (the patient's left is on the right). The red line is "
    "the mask's: it should follow the brain. Glyphs of the yellow frame below: long, narrow lobes along the bundles "
    "(corpus callosum red, corticospinal tract blue, cingulum green), alike from voxel to voxel; lobes that point "
    "across their neighbours, or into all directions, are noise. Tissues: white matter white, grey matter grey, CSF "
    "blue.",
    "directions": "Main direction in every voxel, as bright as its peak is high; axial slices from low to high, with "
    "their numbers. Both halves should mirror each other; stripes, dark slices or specks of mixed colours are "
    "artefacts or noise.",
    "maps": "Maps on the slices with most white matter. Residual: root mean square of what the fODFs leave of the "
    "signal, in units of the noise: about 1; it should not show anatomy where several tissues were fitted. Tissue sum: "
    "even, about 1, without a gradient across the head.",
    "charts": "Fibres a voxel. Response: lower along the fibre (0°) than across it (90°), the more the higher b. "
    "Signal of each tissue: CSF decays fastest, grey matter before white at high b. Training: the held-out "
    "loss should fall.",
}


@dataclass(frozen=True)
class Described:
    """A result as its part of the page says it. name: unlike the others'. anchor: of the part.

    record: run.json, empty where there is none. threshold: amplitude from which a peak counts. concerns, missing: a
    line each.
    """

    name: str
    anchor: str
    folder: Path
    record: Mapping[str, Any]
    numbers: ResultNumbers
    threshold: float
    degree: int
    voxel_sizes: tuple[float, float, float]
    concerns: Sequence[str] = field(default_factory=tuple)
    missing: Sequence[str] = field(default_factory=tuple)


def result_section(result: Described, pictures: Mapping[str, bytes]) -> str:
    """Return the HTML. pictures: PNG by the names of `CAPTIONS`."""
    return section(result.name, _content(result, pictures), result.anchor)


def _content(result: Described, pictures: Mapping[str, bytes]) -> Iterator[str]:
    yield text(str(result.folder), "path")
    yield "<h3>To look at</h3>"
    if result.concerns:
        yield items(result.concerns, "concern")
    else:
        yield text("No check of this page was conspicuous. Look at the pictures all the same.")
    for name, png in pictures.items():
        yield picture(png, f"{name} of {result.name}", CAPTIONS[name])
    yield "<h3>Numbers</h3>"
    cells = ([escape(cell) for cell in row] for row in _numbers(result.numbers, result.threshold))
    yield table(("", "value", "how to read it"), cells)
    yield "<h3>Run</h3>"
    sizes = " × ".join(f"{size:.3g}" for size in result.voxel_sizes)
    yield rows({**run_words(result.record), "voxel size": f"{sizes} mm", "fODFs": f"degree {result.degree}"})
    if result.missing:
        yield "<h3>Missing files</h3>"
        yield items(result.missing)
    yield "<h3>Next</h3>"
    yield code(next_steps(result.folder))


def _numbers(numbers: ResultNumbers, threshold: float) -> Iterator[tuple[str, str, str]]:
    """Give what, value and meaning of each number."""
    yield "mask", f"{numbers.voxels} voxels, {numbers.volume:.0f} ml", "an adult's brain has 1000 to 1600 ml"
    inside = "white matter" if numbers.mean else "the mask"
    if numbers.mean:
        share = numbers.white_voxels / numbers.voxels
        yield (
            "white matter", f"{numbers.white_voxels} voxels, {share:.1%} of the mask",
            "voxels more than half white matter",
        )  # fmt: skip
        mean, median = (_listed(values) for values in (numbers.mean, numbers.median))
        yield "tissues", f"mean {mean}; median {median}", "shares of the mask's voxels"
    if numbers.tissue_sum is not None:
        yield "tissue sum", f"{numbers.tissue_sum:.3f}", "median; 1 where the responses have the scan's intensity"
    peaks = f"peaks above {threshold:g} and a fifth of the highest"
    yield "fibres a voxel", _histogram(numbers.fibres), f"voxels of the mask with 0, 1, 2, … {peaks}"
    yield "no fibre", f"{numbers.without_fibre:.1%} of the mask", "grey matter and CSF should have none, or low ones"
    if numbers.white_voxels:
        yield (
            f"of {inside}", f"{numbers.white_without_fibre:.1%} no fibre, {numbers.crossing:.1%} two or more",
            "white matter without any is lost; bundles cross in 60 to 90 % of it (Jeurissen et al. 2013), and small "
            "lobes count too",
        )  # fmt: skip
        yield (
            "total AFD", f"{numbers.density:.3f}",
            f"median over {inside}; 1 is a voxel filled by one population like the response's",
        )  # fmt: skip
        yield (
            "highest peak", f"{numbers.amplitude:.3f}",
            f"median over {inside}; programs track above 0.1 (MRtrix3's -cutoff)",
        )  # fmt: skip
    if numbers.residual is not None:
        alone = "" if numbers.mean else "; white matter alone does not explain grey matter and CSF"
        yield (
            "residual", f"{numbers.residual:.3f}",
            f"median over {inside}, in units of the noise; below 1 noise was followed, above it signal is left{alone}",
        )  # fmt: skip


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{tissue} {value:.1%}" for tissue, value in values.items())


def _histogram(counts: Sequence[int]) -> str:
    return " · ".join(str(count) for count in counts)
