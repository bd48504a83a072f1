"""The scalar maps of a result: which there are, and all of them from its fODFs and tissues."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from shd._version import __version__
from shd.errors import ScanError, SettingsError, number_of
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, counted, silent
from shd.fodf.field import FodField
from shd.fodf.lobes import fixels_of
from shd.fodf.peaks import Peaks, find_peaks
from shd.fodf.scalar_maps import (
    direction_encoded_colours,
    fixels_at_peaks,
    generalised_anisotropy,
    tissue_fractions,
    total_density,
)
from shd.io.atomic import write_json
from shd.io.fit_folder import StoredFit
from shd.io.grids import check_same_grid
from shd.io.images import write_image
from shd.io.peaks import read_peaks, write_peaks
from shd.report.map_figure import map_figure

__all__ = ["MAPS", "MapKind", "make_maps", "peaks_of", "wanted_maps", "write_maps"]

BLOCK = 1 << 15  # voxels at a time: at degree 12 their lobes take 60 MB
PEAK_THRESHOLD = 0.1  # MRtrix3 tracks above this amplitude
RELATIVE_THRESHOLD = 0.2  # of the voxel's highest: lobes of a single fibre may be anything from 0.3 to 4 high


@dataclass(frozen=True)
class MapKind:
    """One map. about: what it is, for the sidecar. unit: of its values. title: above its picture."""

    about: str
    unit: str
    title: str


_SUM = "the l=0 coefficients of all tissues; negative ones count as none"
MAPS = {
    "dec": MapKind(
        "Direction-encoded colour: mean |x|, |y|, |z| over the fODF (red left-right, green front-back, blue up-down, "
        "scanner axes) as a unit vector, times the fODF's integral",
        "integral per response",
        "DEC",
    ),
    "afd_total": MapKind(
        "Total apparent fibre density: integral of the fODF over the sphere, sqrt(4 pi) times its l=0 coefficient",
        "integral per response; 1 is a voxel filled by one fibre population",
        "total AFD",
    ),
    "nufo": MapKind("Number of fibre orientations: peaks above both thresholds", "count", "NuFO"),
    "gfa": MapKind("Generalised fractional anisotropy: standard deviation over root mean square", "1", "GFA"),
    "peak_amplitudes": MapKind("fODF at each peak of peaks.nii.gz", "amplitude per response", "peak amplitude"),
    "afd_fixel": MapKind(
        "Apparent fibre density of each peak of peaks.nii.gz: integral of its lobe and the antipodal one",
        "integral per response",
        "fixel AFD",
    ),
    "dispersion": MapKind(
        "Dispersion of each peak of peaks.nii.gz: integral of its lobe over the peak's amplitude",
        "steradian",
        "dispersion",
    ),
    "fraction_wm": MapKind(f"Share of white matter in the sum of {_SUM}", "1", "white-matter share"),
    "fraction_gm": MapKind(f"Share of grey matter in the sum of {_SUM}", "1", "grey-matter share"),
    "fraction_csf": MapKind(f"Share of CSF in the sum of {_SUM}", "1", "CSF share"),
    "tissue_sum": MapKind(
        f"Sqrt(4 pi) times the sum of {_SUM}", "1 is a voxel full of tissue of the responses' intensity", "tissue sum"
    ),
}
_TISSUE_MAPS = ("fraction_wm", "fraction_gm", "fraction_csf", "tissue_sum")


def wanted_maps(fod: FodField, only: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of the maps to make: all that the result allows, or those of `only`.

    Raises SettingsError for a name that is unknown, ScanError for a map whose tissues the result has not.
    """
    missing = {f"fraction_{tissue}" for tissue in ("gm", "csf") if tissue not in fod.isotropic}
    missing |= set(_TISSUE_MAPS) if not fod.isotropic else set()
    if only is None:
        return tuple(name for name in MAPS if name not in missing)
    unknown = [name for name in only if name not in MAPS]
    if unknown or not only:
        raise SettingsError(f"{len(unknown)} of {len(only)} maps unknown {unknown}; there are {', '.join(MAPS)}")
    absent = [name for name in only if name in missing]
    if absent:
        raise ScanError(
            f"{absent[0]}: the result has {number_of(1 + len(fod.isotropic), 'tissue')} "
            f"({', '.join(['wm', *fod.isotropic])}); give the folder of a fit of several shells, or leave this map out"
        )
    return tuple(name for name in MAPS if name in only)


def peaks_of(stored: StoredFit) -> Peaks:
    """Return the peaks of a result on its grid: those of its peaks.nii.gz, or else found in its fODFs.

    Raises EvaluationError where they lie on another grid than the fODFs.
    """
    fod, file = stored.fod, stored.path / "peaks.nii.gz"
    if not (stored.path.is_dir() and file.is_file()):
        return find_peaks(fod.wm[fod.mask]).on_grid(fod.mask)
    peaks, affine, _ = read_peaks(file)
    check_same_grid(file.name, peaks.amplitudes.shape, affine, "wm_fod.nii.gz", fod.wm.shape, fod.affine)
    return peaks


def make_maps(
    fod: FodField,
    peaks: Peaks,
    names: Sequence[str],
    *,
    threshold: float = PEAK_THRESHOLD,
    relative_threshold: float = RELATIVE_THRESHOLD,
    report: Report = silent,
) -> dict[str, Float32[np.ndarray, "x y z *each"]]:
    """Return maps by name, zero outside the mask and where a peak is absent.

    peaks: on the grid of `fod` (`peaks_of`); afd_fixel, dispersion and peak_amplitudes have a volume for each of them.
    threshold, relative_threshold: amplitude, and share of the voxel's highest peak, above which a peak counts in nufo.
    Raises ScanError where the mask is empty, or where no voxel has tissue and its shares are asked for.
    """
    voxels = np.argwhere(fod.mask)
    if not len(voxels):
        raise ScanError(f"mask has 0 of {fod.mask.size} voxels; give a result with a mask that covers the brain")
    if not 0 <= threshold < np.inf:
        raise SettingsError(f"peak threshold {threshold}: give an amplitude of 0 or more; {PEAK_THRESHOLD} is usual")
    if not 0 <= relative_threshold <= 1:
        raise SettingsError(f"relative peak threshold {relative_threshold}: give a share of the highest peak, 0 to 1")
    done: dict[str, Float32[np.ndarray, "x y z *each"]] = {}
    if set(names) & set(_TISSUE_MAPS):
        amounts = {"wm": fod.wm[..., 0][fod.mask], **{t: v[fod.mask] for t, v in fod.isotropic.items()}}
        shares, total = tissue_fractions(amounts)
        values = {f"fraction_{tissue}": share for tissue, share in shares.items()} | {"tissue_sum": total}
        _place(done, {name: values[name] for name in names if name in values}, voxels, fod)
    advance = counted("maps", len(voxels), report)
    for start in range(0, len(voxels), BLOCK):
        block = voxels[start : start + BLOCK]
        here = tuple(block.T)
        own = Peaks(peaks.directions[here], peaks.amplitudes[here])
        lowest = np.maximum(threshold, relative_threshold * np.nan_to_num(own.amplitudes[:, :1]))
        _place(done, _block_maps(np.nan_to_num(fod.wm[here]), own, names, lowest), block, fod)
        advance(len(block))
    return {name: done[name] for name in names}


def _block_maps(coefficients: Any, peaks: Peaks, names: Sequence[str], lowest: Any) -> dict[str, Any]:
    """Return the maps that come of the fODFs and peaks of some voxels; peaks above `lowest` count in nufo."""
    simple: dict[str, Callable[[], Any]] = {
        "dec": lambda: direction_encoded_colours(coefficients),
        "afd_total": lambda: total_density(coefficients),
        "nufo": lambda: np.count_nonzero(peaks.amplitudes > lowest, axis=1).astype(np.float32),
        "gfa": lambda: generalised_anisotropy(coefficients),
        "peak_amplitudes": lambda: peaks.amplitudes.astype(np.float32),
    }
    values = {name: simple[name]() for name in names if name in simple}
    if {"afd_fixel", "dispersion"} & set(names):
        lobes = fixels_of(coefficients, amplitude_threshold=0.0)
        pair = dict(zip(("afd_fixel", "dispersion"), fixels_at_peaks(lobes, peaks), strict=True))
        values |= {name: pair[name] for name in pair if name in names}
    return values


def _place(done: dict[str, Any], values: Mapping[str, Any], voxels: Int[np.ndarray, "voxel 3"], fod: FodField) -> None:
    """Write values of voxels into their volumes, which are made when first needed."""
    for name, rows in values.items():
        if name not in done:
            done[name] = np.zeros((*fod.mask.shape, *rows.shape[1:]), np.float32)
        done[name][tuple(voxels.T)] = rows


def write_maps(
    folder: OutputFolder,
    stored: StoredFit,
    peaks: Peaks,
    maps: Mapping[str, Float32[np.ndarray, "x y z *each"]],
    *,
    threshold: float = PEAK_THRESHOLD,
    relative_threshold: float = RELATIVE_THRESHOLD,
    report: Report = silent,
) -> list[Path]:
    """Write an image a map, its sidecar with unit and definition, maps.json and maps.png; return the files.

    The peaks too, where the result has no peaks.nii.gz. Raises OutputError where a file cannot be written; then none
    is.
    """
    report(Progress("writing", 0.0))
    fod = stored.fod
    for name, values in maps.items():
        kind = MAPS[name]
        sidecar: dict[str, Any] = {"Description": kind.about, "Units": kind.unit}
        sidecar |= {"PeakThreshold": threshold, "RelativePeakThreshold": relative_threshold} if name == "nufo" else {}
        sidecar["Sources"] = [str(stored.path.absolute())]
        volumes = [values] if values.ndim == 3 else np.moveaxis(values, 3, 0)
        write_image(folder.partial / f"{name}.nii.gz", volumes, values.shape, fod.affine, sidecar)
    if not (stored.path.is_dir() and (stored.path / "peaks.nii.gz").is_file()):
        write_peaks(folder.partial / "peaks.nii.gz", peaks, fod.affine)
    choices = {"shd": __version__, "source": str(stored.path.absolute()), "threshold": threshold}
    write_json(folder.partial / "maps.json", choices)
    pictures = {MAPS[name].title: values for name, values in maps.items()}
    map_figure(folder.partial / "maps.png", pictures, fod, title=f"shd maps: {stored.path.name}")
    return folder.publish()
