"""The estimate that a network starts from: compiled kernels beside torch's operations.

    python -m benchmarks.estimate [--side 16] [--threads 1]

A small tangle, three shells with three tissues or 30 directions of one shell; responses as a scan has
them, estimated. A call is `estimate_scan` of all voxels, the first estimate and 24 rounds. Equal results are tested:
tests/scans/test_estimate_rounds.py.
"""

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.harness import tables
from benchmarks.harness.cases import Case, Work
from benchmarks.harness.entry import option_parser, prepare, show, store
from shd.graphs.hemisphere import vertex_directions
from shd.scans.coherent_estimate import estimate_scan, relative_noise
from shd.scans.normalisation import NormalisedScan, normalise
from shd.signal.response import Response
from shd.signal.response_estimation import estimate_responses
from shd.simulation import tangle_phantom
from shd.simulation.protocols import CLINICAL, RESEARCH

ENGINES = ("torch", "compiled")


def case(engine: str, scan: NormalisedScan, responses: tuple[Response, ...]) -> Case:
    """Return the row of an engine."""
    vertices, noise = vertex_directions(8), relative_noise(scan)
    work = Work(
        call=lambda: estimate_scan(scan, responses, vertices, noise=noise, engine=engine), amount=float(len(scan.b0))
    )
    return Case(engine, lambda: work)


def main(options: Sequence[str] = ()) -> None:
    """Print a table a protocol."""
    parser = option_parser(__doc__)
    parser.add_argument("--side", type=int, default=16, help="of the volume in voxels")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    results = {}
    for protocol in (RESEARCH, CLINICAL):
        scan = tangle_phantom(8, 2.0 * arguments.side, 2.0, protocol, 20.0, seed=0).scan
        responses, _ = estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)
        kept = normalise(scan)
        title = f"Estimate, {protocol.name}, {len(kept.b0)} voxels, {arguments.threads} threads"
        cases = [case(engine, kept, responses) for engine in ENGINES]
        results[title] = show(title, cases, (tables.RATE, tables.MEMORY), rival=ENGINES[0])
    store(arguments, results)


if __name__ == "__main__":
    main(sys.argv[1:])
