"""Intensity normalisation of a simulated brain with a known bias field, beside MRtrix3's `mtnormalise`.

The brain is simulated at SNR 20 and deconvolved twice by the packaged network `small` with one set of responses: as it
is, and multiplied by a gain and a smooth field. What the normalisation should undo is then known.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

import shd
from shd.errors import ShdWarning
from shd.fodf.field import FodField
from shd.fodf.intensity import Intensity, normalise_intensity
from shd.io.fodf import read_fod, write_fod, write_scalar
from shd.io.images import write_image

GAIN = 7.0


def bias(shape: tuple[int, ...]) -> np.ndarray:
    """A field that is no polynomial: a coil on one side, and a weak wave along another axis."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    return 1.6 / (1.0 + 0.35 * ((x - 1.2) ** 2 + 0.5 * (y + 0.3) ** 2)) * (1.0 + 0.05 * np.sin(2.0 * z))


def deconvolved() -> tuple[FodField, FodField]:
    """The fODFs of the brain as it is, and of the brain times gain and field, by one set of responses."""
    phantom = shd.simulate("brain", extent=60.0, subsamples=2, snr=20.0)
    scan = phantom.scan
    louder = replace(scan, data=(scan.data * (GAIN * bias(scan.shape))[..., None]).astype(np.float32))
    fods = [shd.infer(each, "small", phantom.responses, degree=8).fod for each in (scan, louder)]
    return fods[0], fods[1]


def mtnormalise(fod: FodField, folder: Path, order: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The field, the balance factors and the seconds of `mtnormalise`."""
    write_fod(folder / "wm.nii", fod.wm, fod.affine)
    for tissue, volume in fod.isotropic.items():
        write_scalar(folder / f"{tissue}.nii", volume, fod.affine)
    write_image(folder / "mask.nii", [fod.mask.astype(np.float32)], fod.mask.shape, fod.affine, {})
    pairs = [name for tissue in ("wm", *fod.isotropic) for name in (f"{tissue}.nii", f"{tissue}_norm.nii")]
    words = ["mtnormalise", *pairs, "-mask", "mask.nii", "-order", str(order), "-check_norm", "field.nii"]
    begin = time.perf_counter()
    ran = subprocess.run([*words, "-force", "-info"], cwd=folder, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    balance = re.findall(r"balance factors \(\d+\): +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+)", ran.stderr)[-1]
    return read_fod(folder / "field.nii")[0][..., 0], np.array(balance, float), seconds


def field_errors(found: np.ndarray, mask: np.ndarray) -> str:
    """How far a field is from the true one, but for a factor: mean and 99th percentile."""
    ratio = (found / bias(mask.shape))[mask]
    errors = np.abs(ratio / np.median(ratio) - 1)
    return f"{errors.mean():6.2%} {np.percentile(errors, 99):6.2%}"


def row(name: str, fod: FodField, biased: FodField, order: int) -> tuple[str, Intensity]:
    """The line of the table for one order, and what was found in the biased brain."""
    clean, none = normalise_intensity(fod, order=order)
    begin = time.perf_counter()
    other, found = normalise_intensity(biased, order=order)
    seconds = time.perf_counter() - begin
    white = fod.mask & (fod.wm[..., 0] > 0.2)
    change = np.abs(other.wm[white, 0] / clean.wm[white, 0] - 1)
    invented = none.field[fod.mask].std() / none.scale
    errors = field_errors(found.field, fod.mask)
    return f"{name:10} {order:5}  {errors}  {invented:8.2%} {change.mean():8.2%} {seconds:6.1f}", found


def main(words: list[str] | None = None) -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        words or []
    )
    warnings.simplefilter("ignore", ShdWarning)
    fod, biased = deconvolved()
    white = fod.mask & (fod.wm[..., 0] > 0.2)
    field = bias(fod.mask.shape)[fod.mask]
    print(f"{fod.mask.sum()} voxels; true field {field.min():.2f} to {field.max():.2f}, times a gain of {GAIN:g}")
    before = np.abs(biased.wm[white, 0] / fod.wm[white, 0] / GAIN - 1).mean()
    print(f"white-matter amounts before: {before:.1%} apart but for the gain")
    print(f"{'tissues':10} {'order':>5}  {'field error, mean 99 %':>13}  invented   amounts      s")
    for name, isotropic in (("three", True), ("white", False)):
        for order in range(4):
            pair = [each if isotropic else replace(each, isotropic={}) for each in (fod, biased)]
            line, found = row(name, *pair, order)
            print(line, flush=True)
            if isotropic and shutil.which("mtnormalise") is not None:
                with tempfile.TemporaryDirectory() as folder:
                    theirs, balance, seconds = mtnormalise(biased, Path(folder), order)
                apart = np.abs(found.field[fod.mask] / theirs[fod.mask] - 1).max()
                uneven = np.abs(np.array(list(found.balance.values())) / balance - 1).max()
                print(f"{'':10} mtnormalise: field {apart:.0e} from ours, balance {uneven:.0e}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
