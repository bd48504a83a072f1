"""What a reader should look at in a result, each with the number that says so and what it may mean."""

from collections.abc import Iterator, Mapping
from typing import Any

from shd.report.result_numbers import ResultNumbers

__all__ = ["concerns"]

# What results of sound scans keep well within: docs/report.md says which were measured.
_MOST_WITHOUT_FIBRE = 0.05
_TISSUE_SUM = (0.7, 1.3)
_MOST_RESIDUAL = 1.5
_LEAST_SNR = 10.0


def concerns(record: Mapping[str, Any], numbers: ResultNumbers) -> list[str]:
    """Return a line for each. record: run.json, as far as there is one."""
    return [*_of_the_run(record), *_of_the_numbers(numbers)]


def _of_the_run(record: Mapping[str, Any]) -> Iterator[str]:
    check = record.get("gradient_coherence", {})
    said = list(record.get("warnings", []))
    if check.get("verdict") == "inconsistent" and check["message"] not in said:
        yield str(check["message"])
    for message in said:
        yield f"warning of the run: {message}"
    held = record.get("held_out_loss")
    if held and held["best"] >= held["first"]:
        yield (
            f"training did not help: the held-out loss was {held['first']:.4g} before and never lower, so the network "
            "it began with was kept; a longer training (--minutes) or another --start may"
        )
    snr = record.get("scan", {}).get("snr")
    if snr is not None and snr < _LEAST_SNR:
        yield f"SNR {snr:.1f} of the b = 0 signal is below {_LEAST_SNR:g}: small fibres will be lost or invented"


def _of_the_numbers(numbers: ResultNumbers) -> Iterator[str]:
    if numbers.mean and not numbers.white_voxels:
        yield f"0 of {numbers.voxels} voxels are more than half white matter: are mask and responses of this scan?"
    if numbers.white_without_fibre > _MOST_WITHOUT_FIBRE:
        where = "white matter" if numbers.mean else "the mask"
        yield (
            f"{numbers.white_without_fibre:.1%} of {where} has no fibre above the threshold (more than "
            f"{_MOST_WITHOUT_FIBRE:.0%}): look where, in the maps of fibres a voxel"
        )
    low, high = _TISSUE_SUM
    if numbers.tissue_sum is not None and not low <= numbers.tissue_sum <= high:
        yield (
            f"the tissues sum to {numbers.tissue_sum:.2f} in the median voxel, not to {low:g} to {high:g}: the "
            "responses are of another intensity than the scan; amplitudes do not compare (shd normalise)"
        )
    # one tissue alone explains no grey matter and no CSF, so its residual says nothing
    if numbers.mean and numbers.residual is not None and numbers.residual > _MOST_RESIDUAL:
        yield (
            f"the signal of white matter is explained to {numbers.residual:.2f} times the noise only (median; more "
            f"than {_MOST_RESIDUAL:g}): responses of another scan, or artefacts; look at the map of the residual"
        )
