"""A real scan against minutes of training: signal never trained on, and main peaks beside MSMT-CSD's.

    python -m benchmarks.real_scan_against_minutes dwi.nii.gz --mask mask.nii.gz --responses wm.txt gm.txt csf.txt

There is no truth. Held-out loss: of the voxels that never enter the data term (lower is better; its first value is the
first estimate's). Main peaks: the angle in degrees between the highest peaks of both methods, median and 90th
percentile over the voxels whose white-matter fODF by MSMT-CSD integrates to at least half of the largest tenth's. Both
methods get the same responses.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.deconvolvers.mrtrix import mrtrix_installed, multi_tissue_deconvolution
from shd.fitting.budget import default_settings
from shd.fitting.fit import fit
from shd.fodf.peaks import find_peaks
from shd.io.responses import read_given_responses
from shd.io.scans import read_scan

COLUMNS = ("width", "minutes", "steps", "held-out loss", "main peak, median °", "90th percentile °", "voxels")


def main_peak_angles(fods: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the angles between the highest peaks of two fields of fODFs (voxel, coeff), NaN where one has none."""
    first, second = (find_peaks(field).directions[:, 0] for field in (fods, others))
    cosine = np.abs(np.sum(first * second, axis=-1))
    there = first.any(axis=-1) & second.any(axis=-1)
    return np.where(there, np.degrees(np.arccos(np.clip(cosine, 0, 1))), np.nan)


def main(options: Sequence[str] = ()) -> None:
    """Print a row a training time and width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dwi", type=Path)
    parser.add_argument("--grad", type=Path)
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--responses", type=Path, nargs=3, metavar=("WM", "GM", "CSF"), required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[0.25, 0.5, 1.0, 2.0])
    parser.add_argument("--widths", type=int, nargs="+", default=[8])
    arguments = parser.parse_args(options)
    if not mrtrix_installed():
        sys.exit("dwi2fod (MRtrix3) is not installed: there is nothing to compare with")
    scan = read_scan(arguments.dwi, None, None, arguments.grad, arguments.mask, ignore_bad_voxels=True)
    responses = read_given_responses(dict(zip(("wm", "gm", "csf"), arguments.responses, strict=True)), scan)
    rival = multi_tissue_deconvolution(scan, responses).wm[scan.mask]
    white = rival[:, 0] >= 0.5 * np.quantile(rival[:, 0], 0.9)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for width in arguments.widths:
        for minutes in arguments.minutes:
            settings = default_settings(int(scan.mask.sum()), minutes=minutes, width=width)
            result = fit(scan, responses, settings)
            losses = [row["held_out"] for row in result.history if "held_out" in row]
            angles = main_peak_angles(result.fod.wm[scan.mask][white], rival[white])
            cells = (
                width, f"{minutes:g}", result.history[-1]["step"], f"{losses[0]:.4f} → {min(losses):.4f}",
                f"{np.nanmedian(angles):.2f}", f"{np.nanquantile(angles, 0.9):.1f}", int(white.sum()),
            )  # fmt: skip
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
