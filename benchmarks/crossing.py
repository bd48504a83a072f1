"""The crossing phantom with known truth: angular error and fibres found, by every method that runs here.

    python -m benchmarks.crossing --angles 60 45 --seeds 0 1 2 --minutes 1

Rows are medians over the seeds, over voxels more than half white matter; the two fibres' columns over those voxels that
hold both. The ceiling is the true fODF at degree 12 through the same peak finder.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.deconvolvers.mrtrix import mrtrix_installed, multi_tissue_deconvolution
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.peak_scores import score_matches, scores_by_fibre_count
from shd.evaluation.phantom_scores import match_phantom, sweep_phantom
from shd.fitting.fit import fit
from shd.scans.scan import Scan
from shd.simulation import Phantom, crossing_phantom
from shd.simulation.true_fods import true_fods

Method = Callable[[Phantom], np.ndarray]

COLUMNS = ("error °", "F1", "success", "error ° (2)", "both found", "success (2)", "best F1", "AUC")


def methods(minutes: float) -> dict[str, Method]:
    """Return the methods by their row's name: each takes a phantom and returns white-matter fODFs.

    minutes: our training time on each phantom.
    """
    rows: dict[str, Method] = {
        "ceiling (truth, degree 12)": true_fods,
        "DIPY CSD, degree 8": lambda p: constrained_deconvolution(scored(p), response=p.responses[0]).wm,
    }
    if mrtrix_installed():
        for degree in (8, 12):
            rows[f"MRtrix msmt_csd, degree {degree}"] = (
                lambda p, degree=degree: multi_tissue_deconvolution(scored(p), p.responses, degree=degree).wm
            )
    rows[f"shd fit, {minutes:g} min of training"] = lambda p: fit(p.scan, responses=p.responses, minutes=minutes).fod.wm
    return rows


def scored(phantom: Phantom) -> Scan:
    """Return the scan with its mask cut to white matter: voxel-wise methods lose nothing by it, and save minutes."""
    return replace(phantom.scan, mask=phantom.tissue_fractions[..., 0] > 0.4)


def measure(fods: np.ndarray, phantom: Phantom, threshold: float) -> list[float]:
    """Return a row's numbers, in the order of COLUMNS."""
    matches = match_phantom(fods, phantom, relative_threshold=threshold)
    every, two = score_matches(matches), scores_by_fibre_count(matches)[2]
    sweep = sweep_phantom(fods, phantom)
    return [
        every.angular_error,
        every.f1,
        every.success_rate,
        two.angular_error,
        two.both_fibres_found,
        two.success_rate,
        sweep.best[1].f1,
        sweep.area_under_curve,
    ]


def main(options: Sequence[str] = ()) -> None:
    """Print one table an angle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=float, nargs="+", default=[60.0, 45.0])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.1, 0.15, 0.2, 0.3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--snr", type=float, default=20.0)
    parser.add_argument("--minutes", type=float, default=1.0, help="of training by shd fit, on each phantom")
    arguments = parser.parse_args(options)
    for angle in arguments.angles:
        phantoms = [crossing_phantom(angle, snr=arguments.snr, seed=seed) for seed in arguments.seeds]
        print(f"\n{angle:g}°, SNR {arguments.snr:g}, {len(phantoms)} phantoms")
        print(f"{'method':32s} threshold " + " ".join(f"{column:>11s}" for column in COLUMNS))
        for name, method in methods(arguments.minutes).items():
            fods = [method(phantom) for phantom in phantoms]
            for threshold in arguments.thresholds:
                numbers = [measure(fod, p, threshold) for fod, p in zip(fods, phantoms, strict=True)]
                row = np.median(numbers, axis=0)
                print(f"{name:32s} {threshold:9.2f} " + " ".join(f"{number:11.3f}" for number in row))


if __name__ == "__main__":
    main(sys.argv[1:])
