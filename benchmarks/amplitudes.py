"""Do amplitudes compare between subjects? Apparent fibre density where there is one fibre, over simulated subjects.

    python -m benchmarks amplitudes [--model base] [--subjects 20] [--seed 0] [--out DIR]

Each subject is a tangle of its own with a gain from 0.3 to 3, fibres whose diffusivities are up to 20 % from the usual,
one of seven protocols and an SNR from 12 to 40. The density is √4π times the l=0 coefficient of the white-matter fODF,
1 where a voxel is full of what the response describes; beside it the highest peak; medians over the voxels with at
least 95 % of one bundle. "raw": one response for all, in intensities as they are, as without normalisation. "b=0": the
same response, each scan divided by its b=0 signal. "own": the responses that shd estimates from each scan. The
coefficient of variation is over subjects; "own" is to have at most a third of that of "raw".
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy_table.kept import kept
from benchmarks.accuracy_table.problems import PROTOCOLS
from benchmarks.deconvolvers.methods import MethodError
from benchmarks.deconvolvers.pretrained import answer, missing_model
from benchmarks.harness.program import errors_in_one_line
from shd.fodf.field import FodField
from shd.fodf.peaks import find_peaks
from shd.io.atomic import whole_file, write_json
from shd.io.tables import write_csv
from shd.scans.scan import Scan
from shd.signal.response import Response
from shd.signal.response_estimation import estimate_responses
from shd.simulation import Phantom
from shd.simulation.phantoms import measured
from shd.simulation.tangle import tangle_geometry
from shd.simulation.tissues import WHITE_MATTER, Fibre, tissue_responses

WAYS = ("raw", "b=0", "own")
MEASURES = ("density", "peak")
_PROTOCOLS = ("20@2000", "clinical", "30@1000-2500", "60@1000-2500", "hardi", "research", "120@700-5000")
_GAINS, _SNRS, _SPREAD = (0.3, 3.0), (12.0, 40.0), 0.2
_ONE_BUNDLE = 0.95  # of the voxel
_FIRST_SEED = 2000  # of the geometries
_AMOUNT = np.sqrt(4 * np.pi)


@dataclass(frozen=True)
class Subject:
    """How a subject differs from others. gain: of its intensities. snr: at b=0. seed: of geometry and noise."""

    protocol: str
    gain: float
    snr: float
    fibre: Fibre
    seed: int


def subject_of(number: int, seed: int) -> Subject:
    """Return one subject of those that `seed` makes; protocols take turns."""
    generator = np.random.default_rng([seed, number])
    along, across = generator.uniform(1 - _SPREAD, 1 + _SPREAD, size=2)
    return Subject(
        protocol=_PROTOCOLS[number % len(_PROTOCOLS)],
        gain=float(np.exp(generator.uniform(*np.log(_GAINS)))),
        snr=float(generator.uniform(*_SNRS)),
        fibre=Fibre(WHITE_MATTER.stick_fraction, along * WHITE_MATTER.parallel, across * WHITE_MATTER.perpendicular),
        seed=_FIRST_SEED + number,
    )


def scanned(subject: Subject, *, bundles: int = 10, extent_mm: float = 36.0) -> Phantom:
    """Return the subject's phantom, its scan times the gain; the responses in it are of a gain of 1."""
    geometry = tangle_geometry(bundles, extent_mm=extent_mm, seed=subject.seed)
    geometry = replace(geometry, bundles=tuple(replace(bundle, fibre=subject.fibre) for bundle in geometry.bundles))
    phantom = measured(geometry, protocol=PROTOCOLS[subject.protocol], snr=subject.snr, seed=subject.seed)
    return replace(phantom, scan=replace(phantom.scan, data=phantom.scan.data * np.float32(subject.gain)))


def own_responses(scan: Scan) -> tuple[Response, ...]:
    """Return what shd estimates from a scan: white matter alone for one shell, three tissues for several."""
    return estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)[0]


def group_responses(scan: Scan) -> tuple[Response, ...]:
    """Return the usual tissues' exact responses at a scan's shells, for a gain of 1; tissues as in `own_responses`."""
    responses = tissue_responses(np.array([shell.bvalue for shell in scan.gradients.shells]))
    return responses if len(scan.gradients.weighted_shells) > 1 else responses[:1]


def divided_by_b0(fod: FodField, scan: Scan, responses: tuple[Response, ...]) -> FodField:
    """Return fODFs in units of the voxel's b=0 signal: what one response gives after normalisation by b=0."""
    b0 = scan.data[..., scan.gradients.b0_volumes].mean(axis=-1)
    scale = np.divide(responses[0].mean_signal[0], b0, out=np.zeros_like(b0), where=b0 > 0)
    return replace(fod, wm=fod.wm * scale[..., None])


def measure(subject: Subject, model: str) -> dict[str, Any]:
    """Return way → measure → median over the voxels of one bundle, and how many those are."""
    phantom = scanned(subject)
    scan = phantom.scan
    alone = scan.mask & (phantom.fractions[..., 0] >= _ONE_BUNDLE)
    if not alone.any():
        raise MethodError(f"seed {subject.seed}: 0 of {scan.mask.sum()} voxels hold one bundle; give another --seed")
    group = group_responses(scan)
    raw = answer(model, scan, group)
    fods = {"raw": raw, "b=0": divided_by_b0(raw, scan, group), "own": answer(model, scan, own_responses(scan))}
    return {"voxels": int(alone.sum())} | {way: amplitudes(fod.wm[alone]) for way, fod in fods.items()}


def amplitudes(coefficients: np.ndarray) -> dict[str, float]:
    """Return the median density and highest peak of the fODFs of some voxels."""
    peaks = find_peaks(coefficients, count=1).amplitudes[:, 0]
    return {"density": float(np.median(coefficients[:, 0]) * _AMOUNT), "peak": float(np.median(peaks))}


def variation(values: Sequence[float]) -> float:
    """Return the coefficient of variation: the standard deviation, of a sample, over the mean."""
    return float(np.std(values, ddof=1) / np.mean(values))


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return measure → way → coefficient of variation over the subjects, and "own over raw"."""
    found = {m: {way: variation([row[way][m] for row in rows]) for way in WAYS} for m in MEASURES}
    return {m: values | {"own over raw": values["own"] / values["raw"]} for m, values in found.items()}


def markdown(subjects: Sequence[Subject], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the coefficients of variation, then a line a subject."""
    head = ["coefficient of variation", *WAYS, "own ÷ raw (goal: at most 0.333)"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, values in summary(rows).items():
        lines.append("| " + " | ".join([name, *(f"{value:.3f}" for value in values.values())]) + " |")
    head = ["protocol", "gain", "SNR", "along", "across", "voxels", *(f"density, {way}" for way in WAYS)]
    lines += ["", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for subject, row in zip(subjects, rows, strict=True):
        words = [
            subject.protocol, f"{subject.gain:.2f}", f"{subject.snr:.0f}", f"{subject.fibre.parallel * 1e3:.2f}e-3",
            f"{subject.fibre.perpendicular * 1e3:.2f}e-3", str(row["voxels"]),
        ]  # fmt: skip
        lines.append("| " + " | ".join([*words, *(f"{row[way]['density']:.3f}" for way in WAYS)]) + " |")
    return "\n".join(lines) + "\n"


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises MethodError for values that cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks amplitudes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="base", help='a packaged network, the file of one, or "estimate"')
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of what differs between subjects")
    parser.add_argument("--out", type=Path, default=Path("amplitudes"))
    arguments = parser.parse_args(words)
    if arguments.subjects < 2:
        raise MethodError(f"--subjects {arguments.subjects}: a variation needs at least 2")
    if arguments.seed < 0:
        raise MethodError(f"--seed {arguments.seed}: give 0 or more")
    reason = missing_model(arguments.model)
    if reason:
        raise MethodError(f"--model {arguments.model}: {reason}")
    return arguments


@errors_in_one_line
def main(options: Sequence[str] = ()) -> None:
    """Print the coefficients of variation and a line a subject, and write them."""
    _run(options_of(options))


def _run(arguments: argparse.Namespace) -> None:
    model = Path(arguments.model).stem
    subjects = [subject_of(number, arguments.seed) for number in range(arguments.subjects)]
    rows = []
    for number, subject in enumerate(subjects):
        path = arguments.out / "cells" / f"{model}_seed{arguments.seed}_subject{number}.json"
        rows.append(kept(path, partial(measure, subject, arguments.model)))
        print(f"subject {number + 1} of {len(subjects)}: own density {rows[-1]['own']['density']:.3f}", flush=True)
    text = markdown(subjects, rows)
    print(f"\n{text}")
    with whole_file(arguments.out / f"amplitudes_{model}.md") as file:
        file.write_text(text, encoding="utf-8")
    table = [
        {
            "protocol": subject.protocol, "gain": subject.gain, "snr": subject.snr, **vars(subject.fibre),
            "voxels": row["voxels"], **{f"{way} {m}": row[way][m] for way in WAYS for m in MEASURES},
        }
        for subject, row in zip(subjects, rows, strict=True)
    ]  # fmt: skip
    write_csv(arguments.out / f"amplitudes_{model}.csv", table)
    write_json(arguments.out / f"amplitudes_{model}.json", {"variation": summary(rows), "subjects": table})
    print(f"wrote amplitudes_{model}.md, .csv and .json in {arguments.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
