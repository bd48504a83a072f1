"""The folder of a phantom: a scan as any other, and beside it everything that is true of it."""

import csv
import io
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from shd._version import __version__
from shd.errors import SimulationError
from shd.evaluation.truth import Truth
from shd.fodf.peaks import Peaks
from shd.io.atomic import whole_file, write_json
from shd.io.fodf import read_fod, write_fod
from shd.io.geometry import geometry_content
from shd.io.gradients import write_fsl
from shd.io.images import write_image
from shd.io.nifti import read_image
from shd.io.peaks import read_peaks, write_peaks
from shd.io.responses import write_response
from shd.signal.gradients import Gradients
from shd.simulation.lesions import Lesion
from shd.simulation.phantoms import Phantom
from shd.simulation.tissues import B0_INTENSITY, CSF, GREY_MATTER

__all__ = ["MOST_MASKS", "read_truth", "write_phantom"]

MOST_MASKS = 64  # bundles whose fractions are written as one volume each; bundle_index.nii.gz holds any number
_WRITERS = 2


def write_phantom(folder: str | Path, phantom: Phantom, choices: Mapping[str, Any] | None = None) -> None:
    """Write the scan, its responses and mask, and its truth in `truth/`, into an existing folder.

    Files, formats and frames: docs/simulation.md. choices: what the caller chose (family, protocol, …), for
    simulation.json, which also holds the geometry, the tissues, the noise and the seed. Raises `OutputError` where a
    file cannot be written.
    """
    target = Path(folder)
    truth = target / "truth"
    truth.mkdir(exist_ok=True)
    scan, affine = phantom.scan, phantom.scan.affine
    tissues = np.moveaxis(phantom.tissue_fractions, -1, 0)
    with ThreadPoolExecutor(_WRITERS) as pool:  # packing takes the time
        jobs = [
            pool.submit(_write_series, target / "dwi.nii.gz", scan.data, affine, "magnitude, with noise"),
            pool.submit(_write_series, truth / "noise_free.nii.gz", phantom.noise_free, affine, "without noise"),
            pool.submit(write_fod, truth / "fod.nii.gz", phantom.fods, affine),
            pool.submit(
                write_peaks, truth / "peaks.nii.gz", Peaks(phantom.directions, phantom.fractions), affine,
                {"Description": "unit direction times the share of the voxel's volume, one triple a bundle"},
            ),
            pool.submit(_write_labels, truth / "bundle_index.nii.gz", phantom.bundles, affine),
            pool.submit(_write_labels, truth / "endpoints.nii.gz", phantom.endpoints, affine),
            pool.submit(
                write_image, truth / "tissues.nii.gz", tissues, phantom.tissue_fractions.shape, affine,
                {"Volumes": ["white matter", "grey matter", "CSF"]},
            ),
            pool.submit(
                write_image, target / "mask.nii.gz", [scan.mask.astype(np.float32)], scan.shape, affine,
                {"Type": "Brain"},
            ),
        ]  # fmt: skip
        if len(phantom.geometry.bundles) <= MOST_MASKS:
            jobs.append(pool.submit(_write_masks, truth / "bundles.nii.gz", phantom))
        if phantom.lesion_fractions is not None:
            shares = phantom.lesion_fractions
            what = {"Description": "share of the voxel that is lesion"}
            jobs.append(pool.submit(write_image, truth / "lesions.nii.gz", [shares], shares.shape, affine, what))
            label = (shares >= 0.5).astype(np.int16)
            jobs.append(pool.submit(_write_labels, truth / "lesion_mask.nii.gz", label, affine))
        for job in jobs:
            job.result()
    write_fsl(target / "dwi.bval", target / "dwi.bvec", scan.gradients.bvalues, scan.gradients.directions, affine)
    for response in phantom.responses:
        write_response(target / f"{response.tissue}.txt", response)
    _write_connections(truth / "connections.csv", phantom)
    write_json(target / "simulation.json", _record(phantom, choices or {}))


def read_truth(folder: str | Path) -> Truth:
    """Return the truth of a phantom's folder, or of its `truth` folder.

    Raises SimulationError where this is no such folder or its files do not belong together, ScanError where one of them
    is missing or damaged.
    """
    given = Path(folder)
    truth = given if given.name == "truth" else given / "truth"
    if not truth.is_dir():
        raise SimulationError(f"{given}: holds no folder truth; give a folder that shd simulate wrote")
    fods, affine, _ = read_fod(truth / "fod.nii.gz")
    peaks, _, _ = read_peaks(truth / "peaks.nii.gz", ranked=False)  # a triple a bundle
    bundles, tissues, endpoints, mask = (
        np.asarray(read_image(path)[1])
        for path in (
            truth / "bundle_index.nii.gz",
            truth / "tissues.nii.gz",
            truth / "endpoints.nii.gz",
            truth.parent / "mask.nii.gz",
        )
    )
    bundles = bundles if bundles.ndim == 4 else bundles[..., None]
    shapes = {
        "peaks.nii.gz": peaks.amplitudes.shape[:3],
        "bundle_index.nii.gz": bundles.shape[:3],
        "tissues.nii.gz": tissues.shape[:3],
        "endpoints.nii.gz": endpoints.shape,
        "mask.nii.gz": mask.shape,
    }
    for name, shape in shapes.items():
        if shape != fods.shape[:3]:
            raise SimulationError(
                f"{truth}: {name} has a grid of {shape} but fod.nii.gz of {fods.shape[:3]}; simulate it again"
            )
    if peaks.amplitudes.shape != bundles.shape:
        raise SimulationError(
            f"{truth}: peaks.nii.gz has {peaks.amplitudes.shape[3]} fibres a voxel but bundle_index.nii.gz "
            f"{bundles.shape[3]}; simulate it again"
        )
    return Truth(
        peaks.directions,
        peaks.amplitudes,
        bundles.astype(np.int16),
        tissues.astype(np.float64),
        fods,
        endpoints.astype(np.int16),
        affine,
        mask > 0.5,
    )


def _write_series(
    path: Path, data: Shaped[np.ndarray, "x y z volume"], affine: Float[np.ndarray, "4 4"], what: str
) -> None:
    volumes = (np.asarray(data[..., number], dtype=np.float32) for number in range(data.shape[3]))
    write_image(path, volumes, data.shape, affine, {"Description": f"simulated diffusion scan, {what}"})


def _write_labels(path: Path, labels: Int[np.ndarray, "*grid"], affine: Float[np.ndarray, "4 4"]) -> None:
    """Write whole numbers as int16, which float32 images do not say they hold."""
    volumes = np.moveaxis(labels.reshape(*labels.shape[:3], -1), -1, 0)
    write_image(path, volumes, labels.shape, affine, None, dtype="<i2")


def _write_masks(path: Path, phantom: Phantom) -> None:
    def volumes() -> Iterator[Float32[np.ndarray, "x y z"]]:
        for number in range(len(phantom.geometry.bundles)):
            yield np.where(phantom.bundles == number, phantom.fractions, 0.0).sum(axis=-1).astype(np.float32)

    shape = (*phantom.scan.shape, len(phantom.geometry.bundles))
    names = [bundle.name for bundle in phantom.geometry.bundles]
    write_image(path, volumes(), shape, phantom.scan.affine, {"Volumes": names})


def _write_connections(path: Path, phantom: Phantom) -> None:
    """Write which labels of endpoints.nii.gz each bundle connects, and its volume."""
    present = phantom.bundles >= 0
    volumes = np.bincount(phantom.bundles[present], phantom.fractions[present], len(phantom.geometry.bundles))
    voxel = abs(float(np.linalg.det(phantom.scan.affine[:3, :3])))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["bundle", "start_label", "end_label", "volume_mm3"])
    for number, bundle in enumerate(phantom.geometry.bundles):
        table.writerow([bundle.name, 2 * number + 1, 2 * number + 2, f"{volumes[number] * voxel:.1f}"])
    with whole_file(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def _shells(gradients: Gradients) -> dict[str, int]:
    return {f"{shell.bvalue:.0f}": len(shell.volumes) for shell in gradients.shells}


def _lesion(lesion: Lesion) -> dict[str, Any]:
    return {
        "center": lesion.centre.tolist(),
        "semi_axes": lesion.shape.semi_axes.tolist(),
        "rotation": lesion.rotation.tolist(),
        "amplitude": lesion.shape.amplitude,
        "waves": lesion.shape.waves.ravel().tolist(),
        "severity": lesion.severity,
        "diffusivity": lesion.diffusivity,
    }


def _record(phantom: Phantom, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that it takes to make the phantom again."""
    masks = len(phantom.geometry.bundles) <= MOST_MASKS
    return {
        "GeneratedBy": [{"Name": "shd", "Version": __version__}],
        "name": phantom.geometry.name,
        "choices": dict(choices),
        "noise": {**asdict(phantom.measurement), "b0_intensity": B0_INTENSITY},
        "shells": _shells(phantom.scan.gradients),
        "shape": list(phantom.scan.shape),
        "affine": phantom.scan.affine.tolist(),
        "tissues": {"gm_diffusivity": GREY_MATTER.diffusivity, "csf_diffusivity": CSF.diffusivity},
        **({} if phantom.lesion_fractions is None else {"lesions": [_lesion(each) for each in phantom.lesions]}),
        "bundles": [bundle.name for bundle in phantom.geometry.bundles],
        "bundles.nii.gz": "written" if masks else f"left out: more than {MOST_MASKS} bundles; see bundle_index.nii.gz",
        "geometry": geometry_content(phantom.geometry),
    }
