"""What BIDS derivatives say of themselves: sidecars as in the draft of diffusion models (BEP016), and the dataset's."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shd._version import __version__
from shd.io.peak_layouts import LAYOUTS, peak_encoding

__all__ = ["SOURCE", "dataset_description", "field_sidecar", "fod_sidecar", "mask_sidecar", "peaks_sidecar"]

BIDS_VERSION = "1.10.0"
SOURCE = "preprocessed"
"""Name, in BIDS URIs, of the dataset that the scans are from: `bids:preprocessed:sub-01/dwi/…`."""

_GENERATED_BY = [{"Name": "shd", "Version": __version__, "Description": "Spatio-hemispherical deconvolution"}]
_TISSUES = {"wm": "White matter", "gm": "Grey matter", "csf": "Cerebrospinal fluid"}
_CONTENT = {
    "wm": "fibre orientation distribution, even real harmonics, in amplitude per response",
    "gm": "amount, l = 0 coefficient of the same basis (carries √4π), per response",
    "csf": "amount, l = 0 coefficient of the same basis (carries √4π), per response",
}


def fod_sidecar(stored: Mapping[str, Any], tissue: str, sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return the sidecar of a tissue's fODFs but for what `write_fod` adds: basis, frame and degree.

    stored: the fit's own sidecar, whose response has coefficients by b-value; BEP016 wants a list a b-value, padded
    with zeros, so the b-values are said in `Shells`. sources: BIDS URIs of the files that the fODFs come from.
    """
    response = stored.get("ResponseFunction")
    return {
        "Description": f"{_TISSUES[tissue]}: {_CONTENT[tissue]}",
        **_model(stored),
        "NonNegativity": "regularized",  # the network's answer is positive, its truncated series nearly
        **({"ResponseFunction": _response(response)} if response else {}),
        **_common(sources),
    }


def peaks_sidecar(stored: Mapping[str, Any], sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return the sidecar of peaks whose absent ones are zero; stored: that of the white matter's fODFs."""
    return {
        "Description": "White matter: directions of the fODF's peaks, as long as the fODF is high, longest first",
        **_model(stored),
        "OrientationEncoding": {**peak_encoding(LAYOUTS["mrtrix"]), "FillValue": 0.0},
        **_common(sources),
    }


def field_sidecar(stored: Mapping[str, Any], sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return the sidecar of the field that amplitudes were divided by; stored: that of the white matter's fODFs."""
    description = "Smooth factor that all amounts were divided by; 0 outside the mask"
    return {"Description": description, "Units": "1", **_model(stored), **_common(sources)}


def mask_sidecar(sources: Sequence[str] = ()) -> dict[str, Any]:
    """Return the sidecar of the mask of voxels that were fitted."""
    return {"Description": "Voxels that were fitted", "Type": "Brain", **_common(sources)}


def dataset_description(name: str, dest: Path, source: Path | None) -> dict[str, Any]:
    """Return dataset_description.json of a dataset by shd in `dest`; source: folder of the dataset it was made from.

    BIDS URIs lead to the source by its path from `dest`, so that both can be moved together.
    """
    sources, links = [], {}
    if source is not None:
        sources = [{"URL": source.absolute().as_uri()}]
        links = {"DatasetLinks": {SOURCE: Path(os.path.relpath(source.absolute(), dest.absolute())).as_posix()}}
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": _GENERATED_BY,
        "HowToAcknowledge": "Please cite Elaldi, Gerig and Dey, NeurIPS 2024: https://arxiv.org/abs/2411.11819",
        "SourceDatasets": sources,
        **links,
    }


def _model(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the model, and of a normalisation but where its input was."""
    given = stored.get("Model", {"Description": "not known: the fODFs came without a sidecar"})
    made = {key: value for key, value in stored.get("IntensityNormalisation", {}).items() if key != "Source"}
    return {"Model": given, **({"IntensityNormalisation": made} if made else {})}


def _common(sources: Sequence[str]) -> dict[str, Any]:
    """Return what all images say: zero outside the mask, and on the grid of the scan, which is the first source."""
    return {
        "SkullStripped": True,
        "SpatialReference": sources[0] if sources else "orig",
        **({"Sources": list(sources)} if sources else {}),
        "GeneratedBy": _GENERATED_BY,
    }


def _response(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response with a list a b-value: shd's sidecars have them by b-value, MRtrix's or BIDS's as a list."""
    given = stored.get("Coefficients", [])
    if not isinstance(given, Mapping):
        return dict(stored)
    longest = max(map(len, given.values()), default=0)
    rows = [[*map(float, row), *[0.0] * (longest - len(row))] for row in given.values()]
    return {"Type": stored.get("Type", "zsh"), "Coefficients": rows, "Shells": [float(bvalue) for bvalue in given]}
